// The routes of Friendship: requests, friends, groups and blocks. How a route is written: Routes.swift.
import Contract
import GRPCCore

func friendshipRoutes(_ friends: some Ringway_V1_FriendshipService.ClientProtocol) -> [Route] {
    requestRoutes(friends) + friendRoutes(friends) + groupRoutes(friends) + blockRoutes(friends)
}

private func requestRoutes(_ friends: some Ringway_V1_FriendshipService.ClientProtocol) -> [Route] {
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
        Route(.post, "/v1/friend-requests/{id}:withdraw", fill: { $0.id = try $1.id("id") }) {
            try await friends.withdrawFriendRequest($0, metadata: $1, options: $2)
        },
    ]
}

private func friendRoutes(_ friends: some Ringway_V1_FriendshipService.ClientProtocol) -> [Route] {
    [
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
        Route(.patch, "/v1/friends/{userId}", fill: { $0.userID = try $1.id("userId") }) {
            try await friends.updateFriend($0, metadata: $1, options: $2)
        },
        Route(
            .get, "/v1/relation-changes",
            fill: {
                $0.limit = try $1.count("limit")
                $0.sinceVersion = try $1.count("since")
            },
            call: { try await friends.listRelationChanges($0, metadata: $1, options: $2) }),
    ]
}

private func groupRoutes(_ friends: some Ringway_V1_FriendshipService.ClientProtocol) -> [Route] {
    [
        Route(.get, "/v1/friend-groups") { try await friends.listFriendGroups($0, metadata: $1, options: $2) },
        Route(.post, "/v1/friend-groups") { try await friends.createFriendGroup($0, metadata: $1, options: $2) },
        Route(.post, "/v1/friend-groups:reorder") {
            try await friends.reorderFriendGroups($0, metadata: $1, options: $2)
        },
        Route(.patch, "/v1/friend-groups/{id}", fill: { $0.id = try $1.id("id") }) {
            try await friends.renameFriendGroup($0, metadata: $1, options: $2)
        },
        Route(.delete, "/v1/friend-groups/{id}", fill: { $0.id = try $1.id("id") }) {
            try await friends.deleteFriendGroup($0, metadata: $1, options: $2)
        },
    ]
}

private func blockRoutes(_ friends: some Ringway_V1_FriendshipService.ClientProtocol) -> [Route] {
    [
        Route(.post, "/v1/blocks") { try await friends.blockUser($0, metadata: $1, options: $2) },
        Route(
            .get, "/v1/blocks",
            fill: {
                $0.limit = try $1.count("limit")
                $0.after = try $1.count("after")
            },
            call: { try await friends.listBlocks($0, metadata: $1, options: $2) }),
        Route(.delete, "/v1/blocks/{userId}", fill: { $0.userID = try $1.id("userId") }) {
            try await friends.unblockUser($0, metadata: $1, options: $2)
        },
    ]
}
