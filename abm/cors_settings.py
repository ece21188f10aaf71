"""What pages of other origins may do, which is little: ask the API, with a token and no cookie."""

from __future__ import annotations

from corsheaders.defaults import default_headers

CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_CREDENTIALS = False
CORS_ALLOW_HEADERS = [*default_headers, "if-none-match", "last-event-id", "x-api-key"]
CORS_EXPOSE_HEADERS = ["ETag", "Location", "Retry-After"]
MIDDLEWARE_OF_CORS = "corsheaders.middleware.CorsMiddleware"
