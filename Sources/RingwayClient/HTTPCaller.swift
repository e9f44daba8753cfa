// One call of the HTTP API: a message as proto3 JSON, or a picture, there; a message or an error back.
import AsyncHTTPClient
import Contract
import Foundation
import NIOCore
import NIOHTTP1
import NIOSSL
import SwiftProtobuf

struct HTTPCaller: Sendable {
    private static let timeout: TimeAmount = .seconds(15)
    private static let answerBytesMax = 8 * 1024 * 1024
    /// One for the process, like its pool of connections, and one for each TrustedAuthorities. A server that is not
    /// there is told at once: whoever calls knows better when to try again.
    private static let client = makeClient(nil)

    static func makeClient(_ tls: TLSConfiguration?) -> HTTPClient {
        var configuration = HTTPClient.Configuration(
            tlsConfiguration: tls, redirectConfiguration: .disallow, timeout: .init(connect: .seconds(5)))
        configuration.connectionPool.retryConnectionEstablishment = false
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    /// E.g. "http://127.0.0.1:7401", without a slash at the end.
    let baseURL: String
    private let authorities: TrustedAuthorities?

    init(baseURL: String, trusting authorities: TrustedAuthorities? = nil) {
        self.authorities = authorities
        self.baseURL = baseURL.hasSuffix("/") ? String(baseURL.dropLast()) : baseURL
    }

    /// What is sent, and what it is.
    struct Body: Sendable {
        let bytes: ByteBuffer
        let contentType: String

        init(bytes: Data, contentType: String) {
            self.bytes = ByteBuffer(bytes: bytes)
            self.contentType = contentType
        }

        init(json message: any Message) throws {
            bytes = ByteBuffer(bytes: try message.jsonUTF8Bytes() as [UInt8])
            contentType = "application/json"
        }
    }

    func call<Answer: Message>(
        _ method: HTTPMethod, _ path: String, body: (any Message)? = nil, token: String? = nil
    ) async throws -> Answer {
        try await call(method, path, content: try body.map(Body.init(json:)), token: token)
    }

    func call<Answer: Message>(
        _ method: HTTPMethod, _ path: String, content: Body?, token: String? = nil
    ) async throws -> Answer {
        let bytes = try await bytes(method, path, content: content, token: token)
        var options = JSONDecodingOptions()
        options.ignoreUnknownFields = true
        do {
            return try Answer(jsonUTF8Bytes: bytes, options: options)
        } catch {
            throw RingwayError(code: "INTERNAL", message: "\(baseURL)\(path) did not answer as a Ringway server does")
        }
    }

    /// The answer's body as it came.
    func bytes(
        _ method: HTTPMethod, _ path: String, content: Body? = nil, token: String? = nil
    ) async throws -> [UInt8] {
        guard let url = URL(string: baseURL), ["http", "https"].contains(url.scheme?.lowercased()), url.host != nil else {
            throw RingwayError(code: "INVALID_ARGUMENT", message: "\(baseURL) is not an HTTP URL")
        }
        var request = HTTPClientRequest(url: baseURL + path)
        request.method = method
        if let token { request.headers.add(name: "Authorization", value: "Bearer \(token)") }
        if let content {
            request.headers.add(name: "Content-Type", value: content.contentType)
            request.body = .bytes(content.bytes)
        }
        let (response, bytes) = try await execute(request)
        guard (200..<300).contains(response.status.code) else { throw Self.refusal(response, bytes) }
        return bytes
    }

    private func execute(_ request: HTTPClientRequest) async throws -> (HTTPClientResponse, [UInt8]) {
        do {
            let client = authorities?.client ?? Self.client
            let response = try await client.execute(request, timeout: Self.timeout)
            let body = try await response.body.collect(upTo: Self.answerBytesMax)
            return (response, Array(body.readableBytesView))
        } catch let error as CancellationError {
            throw error
        } catch {
            throw RingwayError(code: RingwayError.unavailable, message: "cannot reach \(baseURL)")
        }
    }

    private static func refusal(_ response: HTTPClientResponse, _ bytes: [UInt8]) -> RingwayError {
        struct Envelope: Decodable {
            struct Error: Decodable {
                let code: String
                let message: String
                let field: String?
            }
            let error: Error
        }
        let retryAfter = response.headers.first(name: "Retry-After").flatMap(Int.init).map { Duration.seconds($0) }
        guard let envelope = try? JSONDecoder().decode(Envelope.self, from: Data(bytes)) else {
            // Not from the API: a proxy in between, most likely.
            let code = response.status.code >= 500 ? RingwayError.unavailable : "UNKNOWN"
            return RingwayError(code: code, message: "HTTP \(response.status.code)", retryAfter: retryAfter)
        }
        let error = envelope.error
        return RingwayError(code: error.code, message: error.message, field: error.field, retryAfter: retryAfter)
    }
}
