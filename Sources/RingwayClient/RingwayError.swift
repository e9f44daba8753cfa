/// Why a call or a send was refused.
public struct RingwayError: Error, Sendable, Equatable, CustomStringConvertible {
    /// One of gRPC's canonical names, e.g. "NOT_FOUND"; "UNAVAILABLE" when the server could not be reached.
    public let code: String
    public let message: String
    /// When the server said how long to wait before trying again.
    public let retryAfter: Duration?

    public init(code: String, message: String, retryAfter: Duration? = nil) {
        self.code = code
        self.message = message
        self.retryAfter = retryAfter
    }

    public var description: String { "\(message) (\(code))" }

    static let unauthenticated = "UNAUTHENTICATED"
    static let unavailable = "UNAVAILABLE"
    static let closed = Self(code: "CANCELLED", message: "the client was closed")
}
