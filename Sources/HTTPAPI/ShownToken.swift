// Tells the connection of a request that the request's token was found good: whatever becomes of the answer, its address'
// share of strangers is not for it any more.
import NIOCore
import ServiceKit

public final class ShownToken: Sendable {
    /// Of the request that this task serves.
    @TaskLocal static var current: ShownToken?

    private let connections: HTTPConnections
    private let connection: ObjectIdentifier

    init(to channel: any Channel, of connections: HTTPConnections) {
        self.connections = connections
        connection = ObjectIdentifier(channel)
    }

    /// For the door that the API's clients go through: looks at tokens as `verify` does, and tells of good ones.
    public static func noted(
        _ verify: @escaping @Sendable (_ accessToken: String) async throws -> Caller
    ) -> @Sendable (_ accessToken: String) async throws -> Caller {
        { token in
            let caller = try await verify(token)
            if let current { current.connections.trust(current.connection) }
            return caller
        }
    }
}
