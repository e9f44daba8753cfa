// The table of routes: a method, a path, how the path and the query fill the request message, and the call.
// A body, where one is given, is the request message as JSON; what the path says overrides it.
import Contract
import GRPCCore

func makeRoutes<Transport: ClientTransport>(_ client: GRPCClient<Transport>) -> [Route] {
    authRoutes(.init(wrapping: client)) + profileRoutes(.init(wrapping: client))
        + friendshipRoutes(.init(wrapping: client)) + inboxRoutes(.init(wrapping: client))
        + gatewayRoutes(.init(wrapping: client))
}

private func authRoutes<Transport>(_ auth: Ringway_V1_AuthService.Client<Transport>) -> [Route] {
    [
        Route(.post, "/v1/auth/register") { try await auth.register($0, metadata: $1, options: $2) },
        Route(.post, "/v1/auth/login") { try await auth.logIn($0, metadata: $1, options: $2) },
        Route(.post, "/v1/auth/refresh") { try await auth.refresh($0, metadata: $1, options: $2) },
        Route(.post, "/v1/auth/logout") { try await auth.logOut($0, metadata: $1, options: $2) },
    ]
}

private func profileRoutes<Transport>(_ profiles: Ringway_V1_ProfileService.Client<Transport>) -> [Route] {
    [
        Route(.get, "/v1/profiles/me") { try await profiles.getMyProfile($0, metadata: $1, options: $2) },
        Route(.patch, "/v1/profiles/me") { try await profiles.updateMyProfile($0, metadata: $1, options: $2) },
        Route(.get, "/v1/profiles/{userId}", fill: { $0.userID = try $1.id("userId") }) {
            try await profiles.getProfile($0, metadata: $1, options: $2)
        },
    ]
}

private func friendshipRoutes<Transport>(_ friends: Ringway_V1_FriendshipService.Client<Transport>) -> [Route] {
    [
        Route(.post, "/v1/friend-requests") { try await friends.requestFriend($0, metadata: $1, options: $2) },
        Route(
            .get, "/v1/friend-requests",
            fill: {
                $0.limit = try $1.count("limit")
                $0.before = try $1.count("before")
            },
            call: { try await friends.listFriendRequests($0, metadata: $1, options: $2) }),
        Route(.post, "/v1/friend-requests/{id}:accept", fill: { $0.id = try $1.id("id") }) {
            try await friends.acceptFriendRequest($0, metadata: $1, options: $2)
        },
        Route(.post, "/v1/friend-requests/{id}:reject", fill: { $0.id = try $1.id("id") }) {
            try await friends.rejectFriendRequest($0, metadata: $1, options: $2)
        },
        Route(
            .get, "/v1/friends",
            fill: {
                $0.limit = try $1.count("limit")
                $0.after = try $1.count("after")
            },
            call: { try await friends.listFriends($0, metadata: $1, options: $2) }),
        Route(.delete, "/v1/friends/{userId}", fill: { $0.userID = try $1.id("userId") }) {
            try await friends.removeFriend($0, metadata: $1, options: $2)
        },
    ]
}

private func inboxRoutes<Transport>(_ inbox: Ringway_V1_InboxService.Client<Transport>) -> [Route] {
    [
        Route(
            .get, "/v1/inbox",
            fill: {
                $0.since = try $1.count("since")
                $0.limit = try $1.count("limit")
            },
            call: { try await inbox.readInbox($0, metadata: $1, options: $2) })
    ]
}

private func gatewayRoutes<Transport>(_ gateway: Ringway_V1_GatewayService.Client<Transport>) -> [Route] {
    [Route(.get, "/v1/gateway") { try await gateway.locateGateway($0, metadata: $1, options: $2) }]
}
