// From an HTTP request to a response: reads the body within its bounds, finds the route, carries token and request
// id over to the call, and puts what every response has on the answer. Runs on any thread; holds nothing that
// changes.
import Foundation
import GRPCCore
import HTTPTypes
import HummingbirdCore
import Logging
import NIOCore
import ServiceKit

struct APIResponder: Sendable {
    private static let requestIDBytesMax = 64

    let routes: RouteTable
    let requestTimeout: Duration
    let proxies: TrustedProxies
    private let connections: HTTPConnections
    private let logger: Logger
    private let documentation = DocumentationPages()
    private let largeBodies = LargeBodies()

    init(routes: RouteTable, requestTimeout: Duration, proxies: TrustedProxies, connections: HTTPConnections, logger: Logger) {
        self.routes = routes
        self.requestTimeout = requestTimeout
        self.proxies = proxies
        self.connections = connections
        self.logger = logger
    }

    @Sendable
    func respond(to request: Request, on channel: any Channel) async -> Response {
        let response = await response(to: request, on: channel)
        return request.method == .head ? response.createHeadResponse() : response
    }

    private func response(to request: Request, on channel: any Channel) async -> Response {
        if let page = documentation.response(to: request) { return page }
        let requestID = Self.requestID(of: request)
        do {
            let answer = try await ShownToken.$current.withValue(ShownToken(to: channel, of: connections)) {
                try await self.answer(request, on: channel, requestID: requestID)
            }
            return Self.response(answer.status, answer.body, requestID: requestID, headers: answer.headers)
        } catch {
            let refusal = self.refusal(for: error, to: request, requestID: requestID)
            return Self.response(
                refusal.status, refusal.body(requestID: requestID), requestID: requestID, headers: refusal.headers)
        }
    }

    // MARK: The request

    private func answer(
        _ request: Request, on channel: any Channel, requestID: String
    ) async throws -> Route.Answer {
        let (route, parameters): (Route, [String: Substring])
        do {
            // RFC 9112 section 3.2. Of two, whoever stands in between may have looked at the other.
            guard request.head.authority != nil, request.headers[values: .host].isEmpty else { throw APIError.notOneHost }
            (route, parameters) = try routes.find(request.method, request.uri.path)
        } catch {
            // Read even where nothing takes it, because the connection's next request comes after it.
            _ = try await receiveBody(of: request, upTo: Route.Intake.json.bytesMax, on: channel)
            throw error
        }
        var metadata: Metadata = ["x-request-id": "\(requestID)"]
        if let address = channel.remoteAddress?.ipAddress {
            let client = proxies.client(of: address, request.headers[values: .init(proxies.header)])
            metadata.addString(client, forKey: Peer.metadataKey)
        }
        for value in request.headers[values: .authorization] {
            metadata.addString(value, forKey: "authorization")
        }
        var options = CallOptions.defaults
        options.timeout = requestTimeout
        let sender = try await admitLarge(to: route, metadata, options, on: channel)
        defer { if let sender { largeBodies.leave(sender) } }
        let body = try await receiveBody(of: request, upTo: route.intake.bytesMax, on: channel)
        if body.readableBytes > 0 {
            guard route.intake.takes(request.headers[.contentType]) else {
                throw APIError.otherType(than: route.intake.contentTypes)
            }
            guard request.headers[.contentEncoding]?.lowercased() ?? "identity" == "identity" else {
                throw APIError.encodedBody
            }
        }
        let said = Parameters(path: parameters, query: try Parameters.each(request.uri.query ?? ""), headers: request.headers)
        let (callMetadata, callOptions) = (metadata, options)
        return try await withDeadline(requestTimeout, on: LoopExecutor.current, timer: channel.eventLoop.timer) {
            try await route.answer(said, body, callMetadata, callOptions)
        }
    }

    /// Lets a large body in, if its sender may and there is room; who that is. Nil: the route takes none. A body that is not
    /// received is in the way of whatever comes after it, so the connection closes once the refusal has had time to arrive.
    private func admitLarge(
        to route: Route, _ metadata: Metadata, _ options: CallOptions, on channel: any Channel
    ) async throws -> Int64? {
        guard let admit = route.intake.admit else { return nil }
        do {
            let sender = try await admit(metadata, options)
            guard largeBodies.enter(sender) else { throw APIError.tooManyUploads }
            return sender
        } catch {
            channel.eventLoop.scheduleTask(in: .seconds(1)) { channel.close(promise: nil) }
            throw error
        }
    }

    /// The whole body. Read even where none is needed, because the connection's next request comes after it. A body
    /// that is too large is not read to its end: the connection closes once the refusal has had time to arrive.
    private func receiveBody(of request: Request, upTo bytesMax: Int, on channel: any Channel) async throws -> ByteBuffer {
        guard request.headers.contains(.contentLength) || request.headers.contains(.transferEncoding) else {
            return ByteBuffer()
        }
        let deadline = channel.eventLoop.scheduleTask(in: .init(requestTimeout)) { channel.close(promise: nil) }
        do {
            let body = try await request.body.collect(upTo: bytesMax)
            deadline.cancel()
            return body
        } catch {
            deadline.cancel()
            channel.eventLoop.scheduleTask(in: .seconds(1)) { channel.close(promise: nil) }
            if error is NIOTooManyBytesError { throw APIError.bodyTooLarge(bytesMax: bytesMax) }
            // What is wrong is what the client sent: the end of a body that is none, or none of it in time.
            throw APIError.invalidArgument("the body is not whole")
        }
    }

    /// The client's id for the request if it is short and harmless in a log line, else a new one.
    private static func requestID(of request: Request) -> String {
        let allowed = { (byte: UInt8) in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
        if let given = request.headers[.requestID], !given.isEmpty, given.utf8.count <= requestIDBytesMax,
            given.utf8.allSatisfy(allowed) {
            return given
        }
        let random = String(UInt64.random(in: .min ... .max), radix: 16)
        return String(repeating: "0", count: 16 - random.count) + random
    }

    // MARK: The response

    private static func response(
        _ status: HTTPResponse.Status, _ body: ByteBuffer, requestID: String, headers: HTTPFields = [:]
    ) -> Response {
        var headers = headers
        if headers[.contentType] == nil, body.readableBytes > 0 { headers[.contentType] = "application/json" }
        if headers[.cacheControl] == nil { headers[.cacheControl] = "no-store" }
        headers[.xContentTypeOptions] = "nosniff"
        headers[.requestID] = requestID
        return Response(status: status, headers: headers, body: .init(byteBuffer: body))
    }

    private func refusal(for error: any Error, to request: Request, requestID: String) -> APIError {
        let refusal: APIError =
            switch error {
            case let error as APIError: error
            case let error as RPCError: APIError(error)
            default: .unexpected
            }
        if refusal.status == .internalServerError {
            logger.error(
                "a request failed",
                metadata: [
                    "request_id": "\(requestID)", "method": "\(request.method)", "path": "\(request.uri.path)",
                    "error": "\(error)",
                ])
        }
        return refusal
    }
}

extension HTTPField.Name {
    /// Valid names, by inspection.
    fileprivate static let requestID = Self("X-Request-Id")!
    fileprivate static let host = Self("Host")!

    fileprivate init(_ header: TrustedProxies.Header) {
        self.init(header.rawValue)!
    }
}

extension Route.Intake {
    fileprivate func takes(_ contentType: String?) -> Bool {
        guard let type = contentType.map(Self.mediaType) else { return false }
        return contentTypes.contains(type)
    }

    /// Without its parameters, in lower case.
    static func mediaType(of contentType: String) -> String {
        contentType.prefix { $0 != ";" }.trimmingCharacters(in: .whitespaces).lowercased()
    }
}
