// What the gateway asks of other services, through their contract. What is not answered in time is given up.
import Contract
import GRPCCore
import ServiceKit

public struct GatewayServices: Sendable {
    private static let timeout: Duration = .seconds(5)

    /// What a good token says.
    struct Admission: Sendable {
        let caller: Caller
        /// The key that signed it.
        let keyID: String
    }

    let verify: @Sendable (_ accessToken: String) async throws -> Admission
    /// Whose tokens count no more.
    let revokedKeys: @Sendable () async throws -> Set<String>
    /// Those of at most 1,000 devices that are not logged in, by what the database says now.
    let endedDevices: @Sendable (_ devices: [Caller]) async throws -> [Caller]
    let calls: SocketCalls
    let mayWrite: @Sendable (_ sender: Int64, _ recipient: Int64) async throws -> Bool
    /// At most 1,000 users, whose last sessions here have just ended.
    let recordLastSeen: @Sendable (_ users: [Int64]) async throws -> Void

    public init(_ clients: ServiceClients) {
        calls = SocketCalls(clients.calls)
        verify = { token in
            try await withDeadline(Self.timeout) {
                let answer = try await clients.auth.verifyToken(.with { $0.accessToken = token })
                return Admission(
                    caller: Caller(userID: answer.userID, deviceID: answer.deviceID), keyID: answer.keyID)
            }
        }
        revokedKeys = {
            try await withDeadline(Self.timeout) { Set(try await clients.auth.listRevokedKeys(.init()).keyIds) }
        }
        endedDevices = { devices in
            let request = Ringway_V1_FindEndedDevicesRequest.with {
                $0.devices = devices.map { device in
                    .with { ($0.userID, $0.deviceID) = (device.userID, device.deviceID) }
                }
            }
            return try await withDeadline(Self.timeout) {
                try await clients.auth.findEndedDevices(request).ended.map {
                    Caller(userID: $0.userID, deviceID: $0.deviceID)
                }
            }
        }
        mayWrite = { sender, recipient in
            let request = Ringway_V1_CheckAudienceRequest.with {
                $0.viewerID = sender
                $0.field = .message
                $0.ownerIds = [recipient]
            }
            return try await withDeadline(Self.timeout) {
                try await clients.settings.checkAudience(request).allowedIds == [recipient]
            }
        }
        recordLastSeen = { users in
            try await withDeadline(Self.timeout) {
                _ = try await clients.profiles.recordLastSeen(.with { $0.userIds = users })
            }
        }
    }
}
