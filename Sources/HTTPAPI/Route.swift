// One route: which requests it takes, and how it turns one into a call and the answer into JSON.
import Foundation
import GRPCCore
import HTTPTypes
import NIOCore
import ServiceKit
import SwiftProtobuf

final class Route: Sendable {
    /// What a body may be, how large, and who may send it.
    struct Intake: Sendable {
        var contentTypes = ["application/json"]
        var bytesMax = 64 * 1024
        /// Asked before a large body is received, which is not for anyone to send: whose it is. Throws for who may not.
        var admit: (@Sendable (Metadata, CallOptions) async throws -> Int64)?

        static let json = Intake()
    }

    struct Answer: Sendable {
        var status = HTTPResponse.Status.ok
        /// Over those that every answer has.
        var headers = HTTPFields()
        var body = ByteBuffer()
    }

    let method: HTTPRequest.Method
    let path: PathTemplate
    let intake: Intake
    /// From a request's parameters and body to the answer. Throws APIError or RPCError.
    let answer: @Sendable (Parameters, _ body: ByteBuffer, Metadata, CallOptions) async throws -> Answer
    /// What the API's description says of it; nil for bytes, which are described by hand.
    let summary: RouteSummary?

    /// A message as JSON, both ways.
    ///
    /// - Parameter caching: the answer's Cache-Control; nil: nobody keeps it.
    init<Request: Message, Reply: Message>(
        _ method: HTTPRequest.Method,
        _ path: StaticString,
        caching: String? = nil,
        fill: @escaping @Sendable (inout Request, Parameters) throws -> Void = { _, _ in },
        call: @escaping @Sendable (Request, Metadata, CallOptions) async throws -> Reply
    ) {
        self.method = method
        self.path = PathTemplate(path)
        summary = RouteSummary(method, self.path, fill: fill, answer: Reply.self)
        intake = .json
        let takesBody = method == .post || method == .patch
        answer = { parameters, body, metadata, options in
            var request = takesBody ? try Request(body) : Request()
            try fill(&request, parameters)
            let json = try await JSONAnswer.json { try await call(request, metadata, options) }
            var answer = Answer(body: ByteBuffer(bytes: json))
            answer.headers[.cacheControl] = caching
            return answer
        }
    }

    /// Bytes, one way or the other.
    init(
        _ method: HTTPRequest.Method,
        _ path: StaticString,
        intake: Intake = .json,
        answer: @escaping @Sendable (Parameters, _ body: ByteBuffer, Metadata, CallOptions) async throws -> Answer
    ) {
        self.method = method
        self.path = PathTemplate(path)
        self.intake = intake
        self.answer = answer
        summary = nil
    }
}

extension Message {
    /// A request message from its body. An empty body is the empty message.
    fileprivate init(_ body: ByteBuffer) throws(APIError) {
        guard body.readableBytes > 0 else {
            self.init()
            return
        }
        do {
            try self.init(request: Array(body.readableBytesView))
        } catch {
            throw .invalidArgument(error.message, field: error.field)
        }
    }
}

/// A path such as "/v1/friend-requests/{id}:accept": segments that are fixed, or a parameter with a fixed suffix.
struct PathTemplate: Sendable {
    enum Segment: Sendable {
        case fixed(String)
        case parameter(String, suffix: String)
    }

    let segments: [Segment]
    let text: String

    init(_ template: StaticString) {
        text = "\(template)"
        segments = text.split(separator: "/", omittingEmptySubsequences: false).map { segment in
            guard segment.first == "{", let end = segment.firstIndex(of: "}") else { return .fixed(String(segment)) }
            return .parameter(
                String(segment[segment.index(after: segment.startIndex)..<end]),
                suffix: String(segment[segment.index(after: end)...]))
        }
    }

    /// The path's parameters if it is of this form. A parameter is not empty and holds no ":".
    func match(_ path: [Substring]) -> [String: Substring]? {
        guard path.count == segments.count else { return nil }
        var parameters: [String: Substring] = [:]
        for (segment, part) in zip(segments, path) {
            switch segment {
            case .fixed(let text):
                guard part == text else { return nil }
            case .parameter(let name, let suffix):
                guard part.hasSuffix(suffix) else { return nil }
                let value = part.dropLast(suffix.count)
                guard !value.isEmpty, !value.contains(":") else { return nil }
                parameters[name] = value
            }
        }
        return parameters
    }
}

/// What the path, the query and the headers say.
struct Parameters: Sendable {
    let path: [String: Substring]
    let query: [Substring: Substring]
    let headers: HTTPFields
    /// Told each name that is looked up in the query, for the API's description; nil while serving.
    var onLookup: (@Sendable (_ name: String) -> Void)?

    /// The parameters of a query by their names, as forms write them (WHATWG URL, section 5.1): "+" is a space. Which of two
    /// with one name counts, readers differ about.
    static func each(_ query: String) throws(APIError) -> [Substring: Substring] {
        var values: [Substring: Substring] = [:]
        for part in query.split(separator: "&") {
            let halves = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = decoded(halves[0]), let value = halves.count > 1 ? decoded(halves[1]) : "" else {
                throw .invalidArgument("the query must be of UTF-8, with % before two hexadecimal digits only")
            }
            guard values.updateValue(value, forKey: name) == nil else { throw .twiceInQuery(name) }
        }
        return values
    }

    private static func decoded(_ text: Substring) -> Substring? {
        guard text.utf8.contains(where: { $0 == UInt8(ascii: "%") || $0 == UInt8(ascii: "+") }) else { return text }
        return text.replacing("+", with: " ").removingPercentEncoding?[...]
    }

    /// A text out of the query, empty when it is absent.
    func text(_ name: String) -> String {
        onLookup?(name)
        return String(query[name[...]] ?? "")
    }

    /// Ids out of the query, separated by commas; none when it is absent.
    func ids(_ name: String) throws(APIError) -> [Int64] {
        onLookup?(name)
        guard let text = query[name[...]], !text.isEmpty else { return [] }
        var ids: [Int64] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let id: Int64 = Self.decimal(part), id > 0 else {
                throw .invalidArgument("\(name) must be positive 64-bit integers, separated by commas", field: name)
            }
            ids.append(id)
        }
        return ids
    }

    /// An id out of the path: 1 to 2^63-1 in decimal digits.
    func id(_ name: String) throws(APIError) -> Int64 {
        guard let id: Int64 = Self.decimal(path[name] ?? ""), id > 0 else {
            throw .invalidArgument("\(name) must be a positive 64-bit integer", field: name)
        }
        return id
    }

    /// A number out of the query, 0 when it is absent.
    func count<Number: FixedWidthInteger>(_ name: String) throws(APIError) -> Number {
        onLookup?(name)
        guard let text = query[name[...]] else { return 0 }
        guard let number: Number = Self.decimal(text) else {
            throw .invalidArgument("\(name) must be an integer from 0 to \(Number.max)", field: name)
        }
        return number
    }

    private static func decimal<Number: FixedWidthInteger>(_ text: Substring) -> Number? {
        text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Number(text) : nil
    }
}
