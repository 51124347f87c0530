"""HTTP answers of both wires."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from offpeak.emulator.wire import ApiError, JsonObject, dumps

REQUEST_ID = {"openai": "x-request-id", "anthropic": "request-id"}

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def provider_of(request_path: str, headers: object = ()) -> str:
    """Whose API a path belongs to. Both have /v1/models; only Anthropic's clients send a version."""
    if request_path.startswith("/v1/messages"):
        return "anthropic"
    if request_path.startswith("/v1/models") and "anthropic-version" in headers:  # type: ignore[operator]
        return "anthropic"
    return "openai"


def json_response(body: JsonObject, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(dumps(body), status_code=status, media_type="application/json", headers=headers)


def openai_error(error: ApiError) -> JsonObject:
    """The inner error object, as `error` of an answer and of a line's body."""
    kind = "invalid_request_error" if error.type == "not_found_error" else error.type
    return {"message": error.message, "type": kind, "param": error.param, "code": error.code}


def anthropic_error(error: ApiError, request_id: str | None) -> JsonObject:
    """The envelope of an answer, and of an errored line's `error`."""
    inner: JsonObject = {"type": _ANTHROPIC_TYPES.get(error.status, error.type), "message": error.message}
    if error.code == "enforced_spend_limit_reached":
        inner["details"] = {"error_code": error.code}
    return {"type": "error", "error": inner, "request_id": request_id}


def error_body(error: ApiError, provider: str, request_id: str | None) -> JsonObject:
    if provider == "anthropic":
        return anthropic_error(error, request_id)
    return {"error": openai_error(error)}


def error_response(request: Request, error: Exception) -> Response:
    """Turns an ApiError raised by an endpoint into its provider's envelope."""
    if not isinstance(error, ApiError):
        raise error
    provider = provider_of(request.url.path, request.headers)
    return json_response(error_body(error, provider, request.scope.get("request_id")), status=error.status)
