"""`Session` and `Job`: what scripts and viewers hold. numpy and httpx only; the model runs in the backend process.

session    what is asked for         job        one segmentation, as its events come
backend    one backend, alive        upload     one image on its way, slices needed first
child      the process we start
teaching   fine-tuning, evaluating   errand     one run as a process of its own, followed and found again
"""

from boltzformer.client.errand import Errand as Errand
from boltzformer.client.job import Job as Job
from boltzformer.client.session import Session as Session
