"""Where everything is."""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import include, path

from chatbot.web import health, webhooks
from chatbot.web.api import api
from chatbot.web.pages import (
    analytics,
    costs,
    desk,
    files,
    icon,
    knowledge,
    pieces,
    quality,
    shop,
    signing_in,
    sources,
    trial,
    versions,
    widget,
)

handler500 = "chatbot.web.trouble.failed"
urlpatterns = [
    path("", signing_in.home),
    path("login/", signing_in.SignIn.as_view(), name="login"),
    path("login/link/<str:secret>/", signing_in.login_link, name="login-link"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("i18n/", include("django.conf.urls.i18n")),
    # agents
    path("desk/", desk.desk, name="desk"),
    path("desk/rows/", desk.rows, name="desk-rows"),
    path("desk/<str:conversation>/", desk.desk, name="conversation"),
    path("desk/<str:conversation>/line/", desk.line, name="desk-line"),
    path("desk/<str:conversation>/about/", desk.about, name="desk-about"),
    path("desk/<str:conversation>/<str:action>/", desk.act, name="desk-act"),
    path("files/<str:file>/", files.for_agent, name="file"),
    path("knowledge/", knowledge.collections, name="knowledge"),
    path("knowledge/new/", knowledge.create, name="knowledge-create"),
    path("knowledge/try/", trial.trial, name="knowledge-try"),
    path("knowledge/unanswered/", quality.unanswered, name="knowledge-unanswered"),
    path("knowledge/unanswered/<str:action>/", quality.change_unanswered, name="knowledge-unanswered-change"),
    path("knowledge/documents/<str:document>/", pieces.document, name="document"),
    path("knowledge/documents/<str:document>/pieces/", pieces.add, name="piece-add"),
    path("knowledge/documents/<str:document>/dates/", pieces.dates, name="document-dates"),
    path("knowledge/documents/<str:document>/<str:action>/", knowledge.change, name="document-change"),
    path("knowledge/pieces/<str:piece>/", pieces.piece, name="piece"),
    path("knowledge/pieces/<str:piece>/<str:action>/", pieces.change_piece, name="piece-change"),
    path("knowledge/clashes/<str:edit>/<str:choice>/", pieces.settle, name="knowledge-settle"),
    path("knowledge/sources/<str:source>/", sources.source, name="source"),
    path("knowledge/sources/<str:source>/report/", sources.report, name="source-report"),
    path("knowledge/sources/<str:source>/<str:action>/", sources.change, name="source-change"),
    path("knowledge/<str:collection>/", knowledge.collection, name="collection"),
    path("knowledge/<str:collection>/documents/", knowledge.documents, name="knowledge-documents"),
    path("knowledge/<str:collection>/upload/", knowledge.upload, name="knowledge-upload"),
    path("knowledge/<str:collection>/clashes/", pieces.clashes, name="knowledge-clashes"),
    path("knowledge/<str:collection>/versions/", versions.versions, name="knowledge-versions"),
    path("knowledge/<str:collection>/versions/rows/", versions.version_rows, name="knowledge-version-rows"),
    path("knowledge/<str:collection>/versions/<str:action>/", versions.change, name="knowledge-version-change"),
    path("knowledge/<str:collection>/gold/", quality.gold, name="knowledge-gold"),
    path("knowledge/<str:collection>/gold/add/", quality.add_gold, name="knowledge-gold-add"),
    path("knowledge/<str:collection>/gold/<str:action>/", quality.change_gold, name="knowledge-gold-change"),
    path("knowledge/<str:collection>/findings/", quality.findings, name="knowledge-findings"),
    path(
        "knowledge/<str:collection>/findings/<str:action>/", quality.change_findings, name="knowledge-findings-change"
    ),
    path("knowledge/<str:collection>/paste/", sources.paste, name="knowledge-paste"),
    path("knowledge/<str:collection>/sources/", sources.add, name="source-add"),
    path("analytics/", analytics.overview, name="analytics"),
    path("analytics/turns/", analytics.turns, name="analytics-turns"),
    path("analytics/costs/", costs.overview, name="costs"),
    path("analytics/costs/calls/", costs.calls, name="cost-calls"),
    path("analytics/costs/notices/<int:notice>/understood/", costs.understood, name="notice-understood"),
    path("admin/", admin.site.urls),
    # visitors
    path("shop/", shop.shop, name="shop"),
    path("widget/loader.js", widget.loader, name="widget-loader"),
    path("widget/<str:inbox>/", widget.frame, name="widget-frame"),
    path("widget/<str:inbox>/session/", widget.session, name="widget-session"),
    path("widget/<str:inbox>/session/check/", widget.check, name="widget-session-check"),
    path("widget/<str:inbox>/session/end/", widget.end, name="widget-session-end"),
    path("widget/<str:inbox>/identify/", widget.identify, name="widget-identify"),
    path("widget/<str:inbox>/texts/", widget.texts, name="widget-texts"),
    path("widget/<str:inbox>/files/", files.upload, name="widget-upload"),
    path("widget/<str:inbox>/files/<str:file>/", files.for_visitor, name="widget-file"),
    path("chat/<str:inbox>/", widget.page, name="chat"),
    path("chat/<str:inbox>/message/", widget.leave_message, name="chat-message"),
    path("widget/<str:inbox>/passages/<str:passage>/", widget.passage, name="widget-passage"),
    # programs
    path("api/v1/", api.urls),
    path("webhooks/<str:inbox>/", webhooks.Webhook.as_view(), name="webhook"),
    path("favicon.ico", icon.favicon),
    path("healthz", health.alive),
    path("readyz", health.ready),
]
