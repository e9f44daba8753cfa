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

// A session that has shown its token once goes on as its user and device after the token's end, until the device is
// revoked. The gateway vouches for it in the metadata of a call inside this process; no other door reads that.
extension Caller {
    private static let key = "ringway-caller"

    public var metadata: Metadata { [Self.key: "\(userID).\(deviceID)"] }

    /// Nil without exactly one caller in them.
    init?(vouchedForIn metadata: Metadata) {
        let values = Array(metadata[stringValues: Self.key])
        let ids = values.first?.split(separator: ".", omittingEmptySubsequences: false).compactMap { Int64($0) } ?? []
        guard values.count == 1, ids.count == 2 else { return nil }
        self.init(userID: ids[0], deviceID: ids[1])
    }
}
