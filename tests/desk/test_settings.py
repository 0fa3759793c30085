"""What the dock remembers: every part of it, and every window, writes no more than what it changed."""

from boltzformer.desk.settings import Settings


def test_what_one_part_remembers_is_not_overwritten_by_what_another_one_knew_before() -> None:
    """The dock has had its settings since it was opened; the length of a fine-tuning is remembered by another part."""
    dock = Settings.load()
    teach = Settings.load()
    teach.length, teach.unit = 3, "steps"
    teach.save()
    dock.asked(["liver in CT"])
    kept = Settings.load()
    assert (kept.length, kept.unit, kept.prompts) == (3, "steps", ["liver in CT"])
    teach.length = Settings().length
    teach.save()
    dock.asked(["spleen in CT"])
    kept = Settings.load()
    assert (kept.length, kept.prompts) == (Settings().length, ["spleen in CT", "liver in CT"])


def test_who_changes_a_setting_last_has_said_so() -> None:
    one, other = Settings.load(), Settings.load()
    one.folder = "/first"
    one.save()
    other.folder = "/second"
    other.save()
    assert Settings.load().folder == "/second"
    one.rings = False
    one.save()
    assert (Settings.load().folder, Settings.load().rings) == ("/second", False)
    one.folder = "/third"
    one.save()
    assert Settings.load().folder == "/third"


def test_settings_that_were_not_read_are_written_whole() -> None:
    Settings(folder="/first", length=3).save()
    Settings(unit="steps").save()
    assert Settings.load() == Settings(unit="steps")
