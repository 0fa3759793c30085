"""The backend process: one engine's worth of device, many jobs, an HTTP API on the loopback address.

app        the routes                guard     who may ask, and how much
volumes    images as they arrive     models    which weights are in memory
work       the one worker thread     segment   a segmentation, step by step
jobs       all jobs and their end    events    what a job told, kept until its owner has it
process    start, owner, end         limits    every number
"""
