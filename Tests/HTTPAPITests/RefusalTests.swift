// What is refused, with which status, and that nothing internal is told.
import Foundation
import GRPCCore
import HTTPTypes
import Testing

@testable import HTTPAPI

private struct Refusal: Decodable {
    struct Error: Decodable {
        let code: String
        let message: String
        let field: String?
        let requestId: String
    }
    let error: Error
}

extension HTTPClient.Answer {
    fileprivate func refusal() throws -> Refusal.Error {
        try JSONDecoder().decode(Refusal.self, from: Data(text.utf8)).error
    }
}

@Suite struct RefusalTests {
    @Test(arguments: [
        (RPCError.Code.invalidArgument, 400, "INVALID_ARGUMENT"), (.failedPrecondition, 400, "FAILED_PRECONDITION"),
        (.outOfRange, 400, "OUT_OF_RANGE"), (.unauthenticated, 401, "UNAUTHENTICATED"),
        (.permissionDenied, 403, "PERMISSION_DENIED"), (.notFound, 404, "NOT_FOUND"),
        (.alreadyExists, 409, "ALREADY_EXISTS"), (.aborted, 409, "ABORTED"),
        (.resourceExhausted, 429, "RESOURCE_EXHAUSTED"), (.cancelled, 499, "CANCELLED"),
        (.unimplemented, 501, "UNIMPLEMENTED"), (.unavailable, 503, "UNAVAILABLE"),
        (.deadlineExceeded, 504, "DEADLINE_EXCEEDED"), (.internalError, 500, "INTERNAL"), (.unknown, 500, "INTERNAL"),
        (.dataLoss, 500, "INTERNAL"),
    ])
    func status_isMapped(code: RPCError.Code, status: Int, name: String) async throws {
        let recorder = Recorder { throw RPCError(code: code, message: "why", metadata: ["retry-after-ms": "1200"]) }
        try await withAPI(recorder) { client in
            let answer = try await client.execute(uri: "/v1/friends", method: .get)
            #expect(answer.status.code == status)
            let refusal = try answer.refusal()
            #expect(refusal.code == name)
            #expect(refusal.message == (name == "INTERNAL" ? "internal error" : "why"))
            #expect(refusal.requestId == answer.headers[.init("X-Request-Id")!])
            #expect(answer.headers[.wwwAuthenticate] == (status == 401 ? "Bearer" : nil))
            #expect(answer.headers[.retryAfter] == "2")
        }
    }

    @Test func whatAHandlerThrows_isNotTold() async throws {
        struct Secret: Error {}
        try await withAPI(Recorder { throw Secret() }) { client in
            let answer = try await client.execute(uri: "/v1/friends", method: .get)
            #expect(answer.status == .internalServerError)
            #expect(!answer.text.contains("Secret"))
        }
    }

    @Test(arguments: [
        "/", "/v1", "/v1/friends/", "/v1//friends", "/v1/friend-requests/5:frob", "/v1/friend-requests/:accept",
        "/v1/friend-requests/5:accept:reject", "/v1/friend-requests/5%3Aaccept", "/v2/friends", "/v1/auth/verify",
        "//v1/friends", "/v1/friends;x",
    ])
    func unknownPath_isNotFound(path: String) async throws {
        try await withAPI(Recorder()) { client in
            let answer = try await client.execute(uri: path, method: .post)
            #expect(answer.status == .notFound)
            #expect(try answer.refusal().code == "NOT_FOUND")
        }
    }

    @Test(arguments: ["", "Host: a\r\nHost: b\r\n", "Host: a\r\nhost: a\r\n"])
    func requestWithoutOneHost_isRefused(hosts: String) async throws {
        try await withAPI(Recorder()) { client in
            let answer = try await exchange(
                port: client.port, send: ["GET /v1/friends HTTP/1.1\r\n\(hosts)Connection: close\r\n\r\n"],
                within: .seconds(10))
            #expect(answer.hasPrefix("HTTP/1.1 400 "))
            #expect(answer.contains("the request must have one Host"))
        }
    }

    @Test(arguments: ["gzip", "br", "identity, gzip", "", "identity", "Identity"])
    func encodedBody_isRefused(encoding: String) async throws {
        let recorder = Recorder()
        try await withAPI(recorder) { client in
            let headers: HTTPFields = [.contentType: "application/json", .contentEncoding: encoding]
            let answer = try await client.post("/v1/friend-requests", "{}", headers: headers)
            let isPlain = encoding.lowercased() == "identity"
            #expect(answer.status == (isPlain ? .ok : .unsupportedMediaType))
            #expect(answer.headers[.acceptEncoding] == (isPlain ? nil : "identity"))
        }
    }

    @Test func wrongMethod_namesTheRightOnes() async throws {
        try await withAPI(Recorder()) { client in
            let answer = try await client.execute(uri: "/v1/profiles/me", method: .delete)
            #expect(answer.status == .methodNotAllowed)
            #expect(answer.headers[.allow] == "GET, HEAD, PATCH")
            #expect(try await client.execute(uri: "/v1/friends", method: .put).headers[.allow] == "GET, HEAD")
            #expect(try await client.execute(uri: "/v1/auth/login", method: .head).headers[.allow] == "POST")
        }
    }

    @Test(arguments: [
        "0", "-1", "+1", "18446744073709551616", "9223372036854775808", "1.0", "0x1", "%D9%A1", "%31", "a",
    ])
    func badId_isAnInvalidArgument(id: String) async throws {
        let recorder = Recorder()
        try await withAPI(recorder) { client in
            let answer = try await client.execute(uri: "/v1/profiles/\(id)", method: .get)
            #expect(answer.status == .badRequest)
            let refusal = try answer.refusal()
            #expect((refusal.message, refusal.field) == ("userId must be a positive 64-bit integer", "userId"))
        }
        #expect(recorder.calls.isEmpty)
    }

    @Test(arguments: ["since=-1", "since=9223372036854775808", "since=x", "since=", "limit=2147483648", "limit=NaN"])
    func badQuery_isAnInvalidArgument(query: String) async throws {
        try await withAPI(Recorder()) { client in
            let answer = try await client.execute(uri: "/v1/inbox?\(query)", method: .get)
            #expect(answer.status == .badRequest)
            #expect(try answer.refusal().field == String(query.prefix { $0 != "=" }))
        }
    }

    @Test(arguments: [
        "since=1&since=2", "since=1&limit=5&since=1", "since=1&s%69nce=2", "since&since=1", "since=&since=1",
    ])
    func parameterTwice_isNamed(query: String) async throws {
        let recorder = Recorder()
        try await withAPI(recorder) { client in
            let answer = try await client.execute(uri: "/v1/inbox?\(query)", method: .get)
            #expect(answer.status == .badRequest)
            let refusal = try answer.refusal()
            #expect((refusal.code, refusal.message, refusal.field) == ("INVALID_ARGUMENT", "the query has since twice", "since"))
        }
        #expect(recorder.calls.isEmpty)
    }

    @Test(arguments: ["a%0Ab", "%E2%80%AE", String(repeating: "a", count: 33), "1"])
    func parameterTwice_isNamedOnlyIfItCouldBeAName(name: String) async throws {
        try await withAPI(Recorder()) { client in
            let answer = try await client.execute(uri: "/v1/inbox?\(name)=1&\(name)=2", method: .get)
            #expect(answer.status == .badRequest)
            let refusal = try answer.refusal()
            #expect((refusal.message, refusal.field) == ("the query has a parameter twice", nil))
        }
    }

    @Test(arguments: [
        "", "{", "{}}", "null", "[]", "7", "\"\"", "{\"to\":NaN}", "{\"to\":1e999}", "{\"to\":\"1e999\"}",
        "{\"to\":18446744073709551616}", "{\"to\":\"18446744073709551616\"}", "{\"to\":1.5}", "{\"to\":[]}",
        "{\"to\":{}}", "{\"message\":7}", "{\"message\":\"\\ud800\"}", "{\"to\":1,}", "{'to':1}", "\u{feff}{}",
        String(repeating: "{\"a\":", count: 12_000), String(repeating: "[", count: 60_000),
        "{\"x\":" + String(repeating: "[", count: 60_000), "{\"x\":" + String(repeating: "{\"x\":[", count: 9_000),
    ])
    func badBody_isAnInvalidArgument(body: String) async throws {
        let recorder = Recorder()
        try await withAPI(recorder) { client in
            let answer = try await client.post("/v1/friend-requests", body)
            // No body at all is the empty message.
            #expect(answer.status == (body.isEmpty ? .ok : .badRequest))
            if !body.isEmpty { #expect(try answer.refusal().code == "INVALID_ARGUMENT") }
            #expect(try await client.execute(uri: "/v1/gateway", method: .get).status == .ok)
        }
    }

    @Test(arguments: [nil, "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
    func bodyThatIsNotJSON_isRefused(type: String?) async throws {
        try await withAPI(Recorder()) { client in
            let headers: HTTPFields = type.map { [.contentType: $0] } ?? [:]
            let answer = try await client.post("/v1/friend-requests", "{}", headers: headers)
            #expect(answer.status == .unsupportedMediaType)
            #expect(try answer.refusal().code == "INVALID_ARGUMENT")
        }
    }

    @Test func slowHandler_endsAtTheDeadline() async throws {
        let recorder = Recorder { try await Task.sleep(for: .seconds(5)) }
        try await withAPI(recorder, requestTimeout: .milliseconds(200)) { client in
            let start = ContinuousClock.now
            let answer = try await client.execute(uri: "/v1/friends", method: .get)
            #expect(answer.status == .gatewayTimeout)
            #expect(ContinuousClock.now - start < .seconds(4))
        }
    }
}
