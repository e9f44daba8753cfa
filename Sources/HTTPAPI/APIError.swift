// What a client is told when a request is refused: {"error": {"code", "message", "requestId"}} with the HTTP status
// that google.rpc.Code prescribes. Nothing internal is told: INTERNAL always has the same text.
import Foundation
import GRPCCore
import HTTPTypes
import Hummingbird

struct APIError: Error {
    /// One of gRPC's canonical names.
    let code: String
    let status: HTTPResponse.Status
    let message: String
    var headers = HTTPFields()

    static func invalidArgument(_ message: String, status: HTTPResponse.Status = .badRequest) -> Self {
        Self(code: "INVALID_ARGUMENT", status: status, message: message)
    }

    static func bodyTooLarge(bytesMax: Int) -> Self {
        Self(code: "RESOURCE_EXHAUSTED", status: .contentTooLarge, message: "the body is over \(bytesMax) bytes")
    }

    static let noSuchPath = Self(code: "NOT_FOUND", status: .notFound, message: "no such path")

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
        let (code, status) = Self.canonical(error.code)
        self.init(code: code, status: status, message: code == "INTERNAL" ? Self.unexpected.message : error.message)
        if status == .unauthorized { headers[.wwwAuthenticate] = "Bearer" }
        if let text = error.metadata[stringValues: "retry-after-ms"].first(where: { _ in true }),
            let milliseconds = Int(text), milliseconds > 0 {
            headers[.retryAfter] = String(milliseconds.dividedRoundingUp(by: 1000))
        }
    }

    private static func canonical(_ code: RPCError.Code) -> (String, HTTPResponse.Status) {
        switch code {
        case .invalidArgument: ("INVALID_ARGUMENT", .badRequest)
        case .failedPrecondition: ("FAILED_PRECONDITION", .badRequest)
        case .outOfRange: ("OUT_OF_RANGE", .badRequest)
        case .unauthenticated: ("UNAUTHENTICATED", .unauthorized)
        case .permissionDenied: ("PERMISSION_DENIED", .forbidden)
        case .notFound: ("NOT_FOUND", .notFound)
        case .alreadyExists: ("ALREADY_EXISTS", .conflict)
        case .aborted: ("ABORTED", .conflict)
        case .resourceExhausted: ("RESOURCE_EXHAUSTED", .tooManyRequests)
        case .cancelled: ("CANCELLED", .init(code: 499, reasonPhrase: "Client Closed Request"))
        case .unimplemented: ("UNIMPLEMENTED", .notImplemented)
        case .unavailable: ("UNAVAILABLE", .serviceUnavailable)
        case .deadlineExceeded: ("DEADLINE_EXCEEDED", .gatewayTimeout)
        default: ("INTERNAL", .internalServerError)
        }
    }

    func body(requestID: String) -> ByteBuffer {
        struct Envelope: Encodable {
            struct Error: Encodable {
                let code: String
                let message: String
                let requestId: String
            }
            let error: Error
        }
        let envelope = Envelope(error: .init(code: code, message: message, requestId: requestID))
        // Three strings always encode.
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
