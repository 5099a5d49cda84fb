"""On to the authorization endpoint: by redirect, or by a form that is POSTed (`authorize-post`, SL-4).

A POST keeps the launch parameter and the state out of addresses, histories and logs of proxies, and takes long scope
lists. The form is sent by a script of ours; without scripts by its button. The page's policy lets it go to the
authorization server and to nobody else; a browser holds to that on the redirects that follow too, so a login page on a
further origin has to be registered (`oauth_origins`).
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from flask import Response, make_response, redirect, render_template

from fhir_twin.model.registered import RegisteredServer
from fhir_twin.transport.smart_discovery import SmartConfiguration
from fhir_twin.transport.urls import parse_base
from fhir_twin.web.headers import policy


def to_authorize(
    server: RegisteredServer, configuration: SmartConfiguration, fields: Mapping[str, str]
) -> Response:
    """The answer that sends the browser there. POST only where it is registered and the server announces it."""
    endpoint = configuration.authorization_endpoint
    if server.authorize_post and configuration.posts_authorize:
        page = render_template(
            "smart_post.html", endpoint=endpoint, fields=fields, server=server.title or server.name
        )
        answer = Response(page, mimetype="text/html")
        origin = parse_base(endpoint.partition("?")[0]).origin
        answer.headers["Content-Security-Policy"] = policy((origin, *server.oauth_origins))
        return answer
    joined = "&" if "?" in endpoint else "?"
    return make_response(redirect(f"{endpoint}{joined}{urlencode(fields)}", 302))
