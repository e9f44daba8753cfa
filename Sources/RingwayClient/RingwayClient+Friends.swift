// Friends, groups and blocks, over HTTP. How a call is made: RingwayClient+Calls.swift.
import Contract

extension RingwayClient {
    public typealias FriendGroup = Ringway_V1_FriendGroup
    public typealias Block = Ringway_V1_Block
    public typealias RelationChanges = Ringway_V1_ListRelationChangesResponse

    // MARK: Requests

    /// Asks for friendship; accepted at once if that user has asked already.
    @discardableResult
    public nonisolated func requestFriend(_ userID: Int64, greeting: String = "") async throws -> FriendRequest {
        let request = Ringway_V1_RequestFriendRequest.with {
            $0.to = userID
            $0.message = greeting
        }
        return try await call(.POST, "/v1/friend-requests", body: request)
    }

    /// Every pending request, both ways, newest first.
    public nonisolated func friendRequests() async throws -> [FriendRequest] {
        try await pages { before in
            let page: Ringway_V1_ListFriendRequestsResponse =
                try await call(.GET, "/v1/friend-requests?limit=200&before=\(before)")
            return (page.requests, page.nextBefore)
        }
    }

    @discardableResult
    public nonisolated func acceptFriendRequest(_ id: Int64) async throws -> FriendRequest {
        try await call(.POST, "/v1/friend-requests/\(id):accept")
    }

    @discardableResult
    public nonisolated func rejectFriendRequest(_ id: Int64) async throws -> FriendRequest {
        try await call(.POST, "/v1/friend-requests/\(id):reject")
    }

    /// Takes back what this user has asked.
    @discardableResult
    public nonisolated func withdrawFriendRequest(_ id: Int64) async throws -> FriendRequest {
        try await call(.POST, "/v1/friend-requests/\(id):withdraw")
    }

    // MARK: Friends

    /// Every friend, in the order of their ids.
    public nonisolated func friends() async throws -> [Friend] {
        try await pages { after in
            let page: Ringway_V1_ListFriendsResponse = try await call(.GET, "/v1/friends?limit=1000&after=\(after)")
            return (page.friends, page.nextAfter)
        }
    }

    /// Puts a friend into a group (0: none), or gives them a remark name, or both. The friend is not told.
    @discardableResult
    public nonisolated func updateFriend(
        _ userID: Int64, groupID: Int64? = nil, remark: String? = nil
    ) async throws -> Friend {
        var request = Ringway_V1_UpdateFriendRequest()
        if let groupID { request.groupID = groupID }
        if let remark { request.remark = remark }
        return try await call(.PATCH, "/v1/friends/\(userID)", body: request)
    }

    public nonisolated func removeFriend(_ userID: Int64) async throws {
        let _: Ringway_V1_RemoveFriendResponse = try await call(.DELETE, "/v1/friends/\(userID)")
    }

    /// What has changed in friends, groups, blocks and pending requests since a version that an earlier answer told; ask
    /// again while `more`.
    public nonisolated func relationChanges(since version: Int64, limit: Int = 200) async throws -> RelationChanges {
        try await call(.GET, "/v1/relation-changes?since=\(version)&limit=\(limit)")
    }

    // MARK: Groups

    /// In the user's order.
    public nonisolated func friendGroups() async throws -> [FriendGroup] {
        let answer: Ringway_V1_ListFriendGroupsResponse = try await call(.GET, "/v1/friend-groups")
        return answer.groups
    }

    @discardableResult
    public nonisolated func createFriendGroup(_ name: String) async throws -> FriendGroup {
        try await call(.POST, "/v1/friend-groups", body: Ringway_V1_CreateFriendGroupRequest.with { $0.name = name })
    }

    @discardableResult
    public nonisolated func renameFriendGroup(_ id: Int64, to name: String) async throws -> FriendGroup {
        try await call(.PATCH, "/v1/friend-groups/\(id)", body: Ringway_V1_RenameFriendGroupRequest.with { $0.name = name })
    }

    /// Each of the user's groups once, in the new order.
    @discardableResult
    public nonisolated func reorderFriendGroups(_ ids: [Int64]) async throws -> [FriendGroup] {
        let request = Ringway_V1_ReorderFriendGroupsRequest.with { $0.ids = ids }
        let answer: Ringway_V1_ListFriendGroupsResponse = try await call(.POST, "/v1/friend-groups:reorder", body: request)
        return answer.groups
    }

    /// Its friends stay friends, in no group.
    public nonisolated func deleteFriendGroup(_ id: Int64) async throws {
        let _: Ringway_V1_DeleteFriendGroupResponse = try await call(.DELETE, "/v1/friend-groups/\(id)")
    }

    // MARK: Blocks

    /// Ends whatever is between the two; for that user, this one no longer exists.
    @discardableResult
    public nonisolated func block(_ userID: Int64) async throws -> Block {
        try await call(.POST, "/v1/blocks", body: Ringway_V1_BlockUserRequest.with { $0.userID = userID })
    }

    public nonisolated func unblock(_ userID: Int64) async throws {
        let _: Ringway_V1_UnblockUserResponse = try await call(.DELETE, "/v1/blocks/\(userID)")
    }

    /// Everybody whom the user has blocked, in the order of their ids.
    public nonisolated func blocks() async throws -> [Block] {
        try await pages { after in
            let page: Ringway_V1_ListBlocksResponse = try await call(.GET, "/v1/blocks?limit=1000&after=\(after)")
            return (page.blocks, page.nextAfter)
        }
    }

    /// All pages of a list, from its beginning to the page that names no next one.
    private nonisolated func pages<Item>(
        _ read: (_ cursor: Int64) async throws -> (items: [Item], next: Int64)
    ) async throws -> [Item] {
        var (all, cursor) = ([Item](), Int64(0))
        repeat {
            let page = try await read(cursor)
            all += page.items
            cursor = page.next
        } while cursor != 0
        return all
    }
}
