"""What a package says of itself, read from its archive without unpacking it.

::

    paths = discover(["dist/"])                  # files, folders and patterns -> the archives they stand for
    archive = inspect(paths[0])                  # checks it; raises ArchiveError when it cannot be published
    archive.relative_path, archive.sha256        # linux-64/demo-1.0-0.conda, 9f86d0...

The payload of a ``.conda`` is never read for this, and no more of an archive is held in memory than its
``info/index.json`` and ``info/about.json``, whatever its size. What is read has bounds, so that a hostile archive costs
neither memory nor time.
"""

from keelback.archive.discovery import discover
from keelback.archive.inspection import inspect
from keelback.archive.package import PackageArchive
from keelback.archive.subdirs import SUBDIRS
from keelback.findings import Finding, Severity

__all__ = ["SUBDIRS", "Finding", "PackageArchive", "Severity", "discover", "inspect"]
