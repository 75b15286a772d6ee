"""What a site says of its nightly upgrades: the nearest windows, and whether new charts of the source may come by themselves."""

from meshinstall.config.choice import Choice
from meshinstall.config.documents import Project
from meshinstall.config.windows import as_window
from meshinstall.model.values import Origin
from meshinstall.model.windows import Windows


def find_windows(project: Project, choice: Choice) -> Windows:
    """The windows of the nearest place that has any; an empty list there takes away those of farther places."""
    said = (project.settings.upgrade, choice.environment.upgrade, choice.site.upgrade)
    document = project.document
    for upgrade, (kind, above) in reversed(list(zip(said, choice.places, strict=False))):
        if upgrade.windows is not None:
            at = (*above, "upgrade", "windows")
            origins = [Origin(kind, document.source, *document.place((*at, str(index)))) for index in range(len(upgrade.windows))]
            return Windows(tuple(as_window(one, str(origin)) for one, origin in zip(upgrade.windows, origins, strict=True)))
    return Windows()
