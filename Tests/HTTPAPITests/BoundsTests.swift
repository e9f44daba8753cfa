// Requests that no library would send: too large, too slow, malformed. They end, and the server goes on.
import HTTPTypes
import Testing

@testable import HTTPAPI

@Suite struct BoundsTests {
    private static let head = "POST /v1/friend-requests HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

    @Test func bodyAtTheLimit_isTaken() async throws {
        try await withAPI(Recorder()) { client in
            let padding = String(repeating: " ", count: 64 * 1024 - 8)
            #expect(try await client.post("/v1/friend-requests", "{\"to\":1}" + padding).status == .ok)
            let answer = try await client.post("/v1/friend-requests", "{\"to\":1}" + padding + " ")
            #expect(answer.status == .contentTooLarge)
            #expect(answer.text.contains("RESOURCE_EXHAUSTED"))
        }
    }

    @Test func endlessBody_isAnsweredAndTheConnectionClosed() async throws {
        try await withAPI(Recorder()) { client in
            let chunk = "4000\r\n" + String(repeating: " ", count: 0x4000) + "\r\n"
            let start = ContinuousClock.now
            let answer = try await exchange(
                port: client.port,
                send: [Self.head + "Transfer-Encoding: chunked\r\n\r\n"] + Array(repeating: chunk, count: 100),
                pause: .milliseconds(50), within: .seconds(20))
            #expect(answer.hasPrefix("HTTP/1.1 413"))
            #expect(ContinuousClock.now - start < .seconds(10))
        }
    }

    @Test func slowBody_endsTheConnection() async throws {
        try await withAPI(Recorder(), requestTimeout: .seconds(2)) { client in
            let start = ContinuousClock.now
            _ = try await exchange(
                port: client.port,
                send: [Self.head + "Content-Length: 50\r\n\r\n"] + Array(repeating: " ", count: 40),
                pause: .milliseconds(250), within: .seconds(20))
            #expect(ContinuousClock.now - start < .seconds(9))
            #expect(try await client.execute(uri: "/v1/gateway", method: .get).status == .ok)
        }
    }

    /// Byte by byte, each long before the time is over.
    @Test func slowHead_endsTheConnection() async throws {
        try await withAPI(Recorder(), idleTimeout: .seconds(2)) { client in
            let start = ContinuousClock.now
            let answer = try await exchange(
                port: client.port, send: Self.head.map(String.init), pause: .milliseconds(250),
                within: .seconds(20))
            #expect(answer.isEmpty)
            #expect(ContinuousClock.now - start < .seconds(9))
        }
    }

    @Test(arguments: [
        "GET http://x HTTP/1.1\r\nHost: x\r\n\r\n", "GET http://x:1?a HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET http:// HTTP/1.1\r\nHost: x\r\n\r\n", "GET * HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET ? HTTP/1.1\r\nHost: x\r\n\r\n", "GET /v1/inbox?=&&=&%&%0&since HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /v1/inbox?since=%ff HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\0\0\0\0\r\n\r\n",
        "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /v1/gateway HTTP/1.1\r\nHost: x\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n",
    ])
    func malformedRequest_harmsNobody(request: String) async throws {
        try await withAPI(Recorder()) { client in
            _ = try await exchange(port: client.port, send: [request], within: .milliseconds(300))
            #expect(try await client.execute(uri: "/v1/gateway", method: .get).status == .ok)
        }
    }
}
