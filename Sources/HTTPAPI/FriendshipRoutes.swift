// The routes of Friendship: requests and friends. How a route is written: Routes.swift.
import Contract
import GRPCCore

func friendshipRoutes<Transport>(_ friends: Ringway_V1_FriendshipService.Client<Transport>) -> [Route] {
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
