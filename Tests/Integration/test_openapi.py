"""The HTTP API against its own description: well formed, and true of a running server under generated requests."""

import json
import subprocess
import sys

import openapi_spec_validator

# Not asked: whether a missing token comes before a malformed query, which is refused before anybody is asked for one;
# whether what the schema allows is accepted, because rules such as a name's letters stand in comments only; and whether
# all that it forbids is refused, because proto3 JSON also takes numbers for 64-bit strings.
CHECKS = ",".join([
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "unsupported_method", "ignored_auth",
])

ENDING = ("LogOut", "DeleteAccount")


def test_the_description_is_valid(api):
    status, headers, body = api.raw("GET", "/openapi.json")
    assert status == 200 and headers["Content-Type"] == "application/json"
    openapi_spec_validator.validate(json.loads(body))


def test_an_error_has_no_member_that_is_not_described(alice, api):
    _, answer = alice.call("POST", "/v1/friend-groups", {"name": ""})
    error = api.ok("GET", "/openapi.json")["components"]["schemas"]["Error"]["properties"]["error"]
    assert set(answer["error"]) == set(error["properties"])


def test_ids_are_strings_in_urls_as_in_bodies(api):
    """A client in JavaScript keeps no number beyond 2^53 whole, and ids are beyond."""
    for path, operations in api.ok("GET", "/openapi.json")["paths"].items():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                assert parameter["in"] != "path" or parameter["schema"]["type"] == "string", path


def test_what_the_path_says_is_not_asked_for_in_the_body(api):
    description = api.ok("GET", "/openapi.json")
    for path, operations in description["paths"].items():
        for operation in operations.values():
            named = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "path"}
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            body = description["components"]["schemas"].get(body.get("$ref", "").rpartition("/")[2], body)
            assert not named & set(body.get("properties", {})), path


def test_generated_requests_find_no_lie(alice, api, tmp_path):
    # These would end the token that all other requests need; tests of their own cover them.
    ending = [part for name in ENDING for part in ("--exclude-operation-id", name)]
    run = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{api.port}/openapi.json",
         "--header", f"Authorization: Bearer {alice.token}", "--checks", CHECKS, "--max-examples", "25",
         *ending, "--phases", "examples,coverage,fuzzing", "--generation-database", "none",
         "--seed", "1", "--no-color", "--request-timeout", "10"],
        cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
