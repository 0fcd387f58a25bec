"""Static files under hashed names, with the imports between our ES modules rewritten to match; no bundler."""

from servestatic.storage import CompressedManifestStaticFilesStorage

OURS = ("desk/*.js", "shared/*.js", "shop/*.js", "widget/*.js")


class HashedModules(CompressedManifestStaticFilesStorage):
    """Django's own list of what an import looks like, tried on our files only: others write it in comments, too."""

    support_js_module_import_aggregation = False
    patterns = (
        *CompressedManifestStaticFilesStorage.patterns,
        *((files, CompressedManifestStaticFilesStorage._js_module_import_aggregation_patterns[1]) for files in OURS),
    )
