// Who is calling. The actor of every request comes from its token and from nowhere else: the authentication
// interceptor sets it, handlers read it, no message carries it.
import GRPCCore

public struct Caller: Sendable, Hashable {
    public let userID: Int64
    public let deviceID: Int64

    public init(userID: Int64, deviceID: Int64) {
        self.userID = userID
        self.deviceID = deviceID
    }

    @TaskLocal public static var current: Caller?

    /// The caller of the request that this task serves. UNAUTHENTICATED if it has none, which the interceptor
    /// does not let happen for a method that needs one.
    public static func required() throws(RPCError) -> Caller {
        guard let current else { throw RPCError(code: .unauthenticated, message: "a valid access token is required") }
        return current
    }
}
