// What the gateway asks of other services, through their contract.
import Contract
import GRPCCore
import ServiceKit

public struct GatewayServices: Sendable {
    let verify: @Sendable (_ accessToken: String) async throws -> Caller
    let calls: SocketCalls
    let mayWrite: @Sendable (_ sender: Int64, _ recipient: Int64) async throws -> Bool

    public init<Transport: ClientTransport>(client: GRPCClient<Transport>) {
        let auth = Ringway_V1_AuthService.Client(wrapping: client)
        let friendship = Ringway_V1_FriendshipService.Client(wrapping: client)
        calls = SocketCalls(client: client)
        var options = CallOptions.defaults
        options.timeout = .seconds(5)
        let callOptions = options
        verify = { token in
            let answer = try await auth.verifyToken(.with { $0.accessToken = token }, options: callOptions)
            return Caller(userID: answer.userID, deviceID: answer.deviceID)
        }
        mayWrite = { sender, recipient in
            let request = Ringway_V1_FilterFriendsRequest.with {
                $0.userID = sender
                $0.peerIds = [recipient]
            }
            return try await friendship.filterFriends(request, options: callOptions).friendIds == [recipient]
        }
    }
}
