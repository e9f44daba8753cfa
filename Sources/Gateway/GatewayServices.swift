// What the gateway asks of other services, through their contract.
import Contract
import GRPCCore
import ServiceKit

public struct GatewayServices: Sendable {
    /// What a good token says.
    struct Admission: Sendable {
        let caller: Caller
        /// The key that signed it.
        let keyID: String
    }

    let verify: @Sendable (_ accessToken: String) async throws -> Admission
    /// Whose tokens count no more.
    let revokedKeys: @Sendable () async throws -> Set<String>
    let calls: SocketCalls
    let mayWrite: @Sendable (_ sender: Int64, _ recipient: Int64) async throws -> Bool
    /// At most 1,000 users, whose last sessions here have just ended.
    let recordLastSeen: @Sendable (_ users: [Int64]) async throws -> Void

    public init<Transport: ClientTransport>(client: GRPCClient<Transport>) {
        let auth = Ringway_V1_AuthService.Client(wrapping: client)
        let settings = Ringway_V1_SettingsService.Client(wrapping: client)
        let profiles = Ringway_V1_ProfileService.Client(wrapping: client)
        calls = SocketCalls(client: client)
        var options = CallOptions.defaults
        options.timeout = .seconds(5)
        let callOptions = options
        verify = { token in
            let answer = try await auth.verifyToken(.with { $0.accessToken = token }, options: callOptions)
            return Admission(
                caller: Caller(userID: answer.userID, deviceID: answer.deviceID), keyID: answer.keyID)
        }
        revokedKeys = { Set(try await auth.listRevokedKeys(.init(), options: callOptions).keyIds) }
        mayWrite = { sender, recipient in
            let request = Ringway_V1_CheckAudienceRequest.with {
                $0.viewerID = sender
                $0.field = .message
                $0.ownerIds = [recipient]
            }
            return try await settings.checkAudience(request, options: callOptions).allowedIds == [recipient]
        }
        recordLastSeen = { users in
            _ = try await profiles.recordLastSeen(.with { $0.userIds = users }, options: callOptions)
        }
    }
}
