"""Static files under hashed names, with the imports between ES modules rewritten to match; no bundler."""

from servestatic.storage import CompressedManifestStaticFilesStorage


class HashedModules(CompressedManifestStaticFilesStorage):
    support_js_module_import_aggregation = True
