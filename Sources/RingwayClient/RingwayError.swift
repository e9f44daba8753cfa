/// Why a call or a send was refused.
public struct RingwayError: Error, Sendable, Equatable, CustomStringConvertible {
    /// One of gRPC's canonical names, e.g. "NOT_FOUND"; "UNAVAILABLE" when the server could not be reached.
    public let code: String
    public let message: String
    /// The field of the request that is at fault, where one is, as the .proto files name it.
    public let field: String?
    /// When the server said how long to wait before trying again.
    public let retryAfter: Duration?

    public init(code: String, message: String, field: String? = nil, retryAfter: Duration? = nil) {
        self.code = code
        self.message = message
        self.field = field
        self.retryAfter = retryAfter
    }

    public var description: String { "\(message) (\(code))" }

    static let unauthenticated = "UNAUTHENTICATED"
    static let unavailable = "UNAVAILABLE"
    static let closed = Self(code: "CANCELLED", message: "the client was closed")
}
