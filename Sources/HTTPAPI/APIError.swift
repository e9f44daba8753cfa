// What a client is told when a request is refused: {"error": {"code", "message", "field", "requestId"}} (the field only
// where one is at fault) with the HTTP status that google.rpc.Code prescribes. Nothing internal is told: INTERNAL always
// has the same text.
import Foundation
import GRPCCore
import HTTPTypes
import NIOCore
import ServiceKit

struct APIError: Error {
    /// One of gRPC's canonical names.
    let code: String
    let status: HTTPResponse.Status
    let message: String
    var headers = HTTPFields()
    /// The field of the request that is at fault, as the .proto files name it, or the parameter, as the address does.
    var field: String?

    static func invalidArgument(
        _ message: String, status: HTTPResponse.Status = .badRequest, field: String? = nil
    ) -> Self {
        var error = Self(code: "INVALID_ARGUMENT", status: status, message: message)
        error.field = field
        return error
    }

    static func twiceInQuery(_ name: Substring) -> Self {
        // The client's own text: only what could be a name of ours comes back.
        let isName = name.utf8.count <= 32 && name.allSatisfy { $0.isASCII && ($0.isLetter || $0 == "_") }
        return invalidArgument(
            "the query has \(isName ? String(name) : "a parameter") twice", field: isName ? String(name) : nil)
    }

    static let notOneHost = invalidArgument("the request must have one Host")

    static func otherType(than types: [String]) -> Self {
        invalidArgument("the body must be \(types.joined(separator: ", "))", status: .unsupportedMediaType)
    }

    /// RFC 9110 section 15.5.16 asks for the header.
    static let encodedBody = Self(
        code: "INVALID_ARGUMENT", status: .unsupportedMediaType, message: "the body must come without a Content-Encoding",
        headers: [.acceptEncoding: "identity"])

    static func bodyTooLarge(bytesMax: Int) -> Self {
        Self(code: "RESOURCE_EXHAUSTED", status: .contentTooLarge, message: "the body is over \(bytesMax) bytes")
    }

    static let tooManyUploads = Self(
        code: "RESOURCE_EXHAUSTED", status: .tooManyRequests, message: "too many uploads at once; try again",
        headers: [.retryAfter: "1"])

    static let noSuchPath = Self(code: "NOT_FOUND", status: .notFound, message: "no such path; /docs shows those that there are")

    static func methodNotAllowed(allowed: [HTTPRequest.Method]) -> Self {
        let names = allowed.map(\.rawValue).joined(separator: ", ")
        return Self(
            code: "UNIMPLEMENTED", status: .methodNotAllowed, message: "this path takes \(names)",
            headers: [.allow: names])
    }

    static let unexpected = Self(code: "INTERNAL", status: .internalServerError, message: "internal error")

    init(code: String, status: HTTPResponse.Status, message: String, headers: HTTPFields = HTTPFields()) {
        self.code = code
        self.status = status
        self.message = message
        self.headers = headers
    }

    init(_ error: RPCError) {
        if let status = Self.status(of: error.code) {
            self.init(code: error.code.canonicalName, status: status, message: error.message)
        } else {
            self = .unexpected
        }
        field = error.field
        if status == .unauthorized { headers[.wwwAuthenticate] = "Bearer" }
        if let milliseconds = error.retryAfterMilliseconds {
            headers[.retryAfter] = String(milliseconds.dividedRoundingUp(by: 1000))
        }
    }

    /// Nil for what a client is told nothing about.
    private static func status(of code: RPCError.Code) -> HTTPResponse.Status? {
        switch code {
        case .invalidArgument, .failedPrecondition, .outOfRange: .badRequest
        case .unauthenticated: .unauthorized
        case .permissionDenied: .forbidden
        case .notFound: .notFound
        case .alreadyExists, .aborted: .conflict
        case .resourceExhausted: .tooManyRequests
        case .cancelled: .init(code: 499, reasonPhrase: "Client Closed Request")
        case .unimplemented: .notImplemented
        case .unavailable: .serviceUnavailable
        case .deadlineExceeded: .gatewayTimeout
        default: nil
        }
    }

    func body(requestID: String) -> ByteBuffer {
        struct Envelope: Encodable {
            struct Error: Encodable {
                let code: String
                let message: String
                let field: String?
                let requestId: String
            }
            let error: Error
        }
        let envelope = Envelope(error: .init(code: code, message: message, field: field, requestId: requestID))
        // Strings always encode.
        let json = (try? JSONEncoder().encode(envelope)) ?? Data()
        return ByteBuffer(bytes: json)
    }
}

extension Int {
    fileprivate func dividedRoundingUp(by divisor: Int) -> Int {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder > 0 ? quotient + 1 : quotient
    }
}
