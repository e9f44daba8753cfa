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
