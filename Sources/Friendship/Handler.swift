// ringway.v1.FriendshipService: reads a request, applies the rules, asks the store. It holds no state.
import Cache
import Contract
import GRPCCore
import Postgres
import ServiceKit

public struct FriendshipHandler: Ringway_V1_FriendshipService.SimpleServiceProtocol {
    /// Whether `viewer` may ask `owner` for friendship, as far as the owner's settings go.
    public typealias Consent = @Sendable (_ viewer: Int64, _ owner: Int64) async throws -> Bool

    let store: FriendshipStore
    private let limits: FriendshipLimits
    private let mayAdd: Consent

    public init(
        postgres: PostgresClient, settings: FriendshipSettings = FriendshipSettings(),
        limits: FriendshipLimits = FriendshipLimits(), cache: Cache = .off, mayAdd: @escaping Consent = { _, _ in true }
    ) {
        store = FriendshipStore(postgres: postgres, settings: settings, cache: cache)
        self.limits = limits
        self.mayAdd = mayAdd
    }

    /// Who changes something, as often as one may.
    private func changer() async throws -> Caller {
        let caller = try Caller.required()
        try await limits.takeChange(by: caller)
        return caller
    }

    // MARK: Requests

    public func requestFriend(
        request: Ringway_V1_RequestFriendRequest, context: ServerContext
    ) async throws -> Ringway_V1_FriendRequest {
        let caller = try Caller.required()
        let proposal = try Proposal(from: caller.userID, to: request.to, message: request.message)
        try await limits.take(for: proposal)
        return try await store.propose(proposal) { try await mayAdd($0.sender, $0.recipient) }
    }

    public func listFriendRequests(
        request: Ringway_V1_ListFriendRequestsRequest, context: ServerContext
    ) async throws -> Ringway_V1_ListFriendRequestsResponse {
        let caller = try Caller.required()
        let page = try Page(
            limit: request.limit, default: 50, maximum: FirstRequests.limit, cursor: request.before, named: "before")
        if let cached = try await store.cachedRequests(of: caller.userID, on: page) {
            return try cached.answer(page, in: context)
        }
        return try await store.requests(of: caller.userID, on: page)
    }

    public func acceptFriendRequest(
        request: Ringway_V1_AcceptFriendRequestRequest, context: ServerContext
    ) async throws -> Ringway_V1_FriendRequest {
        try await store.accept(request.id, by: changer().userID)
    }

    public func rejectFriendRequest(
        request: Ringway_V1_RejectFriendRequestRequest, context: ServerContext
    ) async throws -> Ringway_V1_FriendRequest {
        try await store.reject(request.id, by: changer().userID)
    }

    public func withdrawFriendRequest(
        request: Ringway_V1_WithdrawFriendRequestRequest, context: ServerContext
    ) async throws -> Ringway_V1_FriendRequest {
        try await store.withdraw(request.id, by: changer().userID)
    }

    // MARK: Friends

    public func listFriends(
        request: Ringway_V1_ListFriendsRequest, context: ServerContext
    ) async throws -> Ringway_V1_ListFriendsResponse {
        let caller = try Caller.required()
        let page = try Page(
            limit: request.limit, default: FriendshipStore.usualPage, maximum: 1000, cursor: request.after,
            named: "after")
        if let cached = try await store.cachedFriends(of: caller.userID, on: page) {
            return try cached.answer(in: context)
        }
        return try await store.friends(of: caller.userID, on: page)
    }

    public func updateFriend(
        request: Ringway_V1_UpdateFriendRequest, context: ServerContext
    ) async throws -> Ringway_V1_Friend {
        let caller = try await changer()
        let change = try FriendChange(
            of: request.userID, group: request.hasGroupID ? request.groupID : nil,
            remark: request.hasRemark ? request.remark : nil)
        return try await store.update(change, of: caller.userID)
    }

    public func removeFriend(
        request: Ringway_V1_RemoveFriendRequest, context: ServerContext
    ) async throws -> Ringway_V1_RemoveFriendResponse {
        try await store.remove(request.userID, of: changer().userID)
        return Ringway_V1_RemoveFriendResponse()
    }

    public func listRelationChanges(
        request: Ringway_V1_ListRelationChangesRequest, context: ServerContext
    ) async throws -> Ringway_V1_ListRelationChangesResponse {
        let caller = try Caller.required()
        let page = try Page(
            limit: request.limit, default: 200, maximum: 1000, cursor: request.sinceVersion, named: "since_version")
        return try await store.changes(of: caller.userID, on: page)
    }

    // MARK: Groups

    public func listFriendGroups(
        request: Ringway_V1_ListFriendGroupsRequest, context: ServerContext
    ) async throws -> Ringway_V1_ListFriendGroupsResponse {
        let groups = try await store.groups(of: Caller.required().userID).value
        return .with { $0.groups = groups }
    }

    public func createFriendGroup(
        request: Ringway_V1_CreateFriendGroupRequest, context: ServerContext
    ) async throws -> Ringway_V1_FriendGroup {
        let caller = try await changer()
        return try await store.createGroup(checkedGroupName(request.name), of: caller.userID)
    }

    public func renameFriendGroup(
        request: Ringway_V1_RenameFriendGroupRequest, context: ServerContext
    ) async throws -> Ringway_V1_FriendGroup {
        let caller = try await changer()
        return try await store.renameGroup(request.id, to: checkedGroupName(request.name), of: caller.userID)
    }

    public func reorderFriendGroups(
        request: Ringway_V1_ReorderFriendGroupsRequest, context: ServerContext
    ) async throws -> Ringway_V1_ListFriendGroupsResponse {
        let groups = try await store.reorderGroups(request.ids, of: changer().userID)
        return .with { $0.groups = groups }
    }

    public func deleteFriendGroup(
        request: Ringway_V1_DeleteFriendGroupRequest, context: ServerContext
    ) async throws -> Ringway_V1_DeleteFriendGroupResponse {
        try await store.deleteGroup(request.id, of: changer().userID)
        return Ringway_V1_DeleteFriendGroupResponse()
    }

    // MARK: Blocks

    public func blockUser(
        request: Ringway_V1_BlockUserRequest, context: ServerContext
    ) async throws -> Ringway_V1_Block {
        let caller = try await changer()
        guard request.userID > 0 else { throw FriendshipError.invalid("user_id", "must be positive") }
        guard request.userID != caller.userID else { throw FriendshipError.invalid("user_id", "must be somebody else's") }
        return try await store.block(request.userID, by: caller.userID)
    }

    public func unblockUser(
        request: Ringway_V1_UnblockUserRequest, context: ServerContext
    ) async throws -> Ringway_V1_UnblockUserResponse {
        try await store.unblock(request.userID, by: changer().userID)
        return Ringway_V1_UnblockUserResponse()
    }

    public func listBlocks(
        request: Ringway_V1_ListBlocksRequest, context: ServerContext
    ) async throws -> Ringway_V1_ListBlocksResponse {
        let caller = try Caller.required()
        let page = try Page(
            limit: request.limit, default: 200, maximum: 1000, cursor: request.after, named: "after")
        let found = try await store.blocks(of: caller.userID, on: page)
        return .with {
            ($0.blocks, $0.nextAfter) = page.cut(found.value, id: \.userID)
            $0.version = found.version
        }
    }

    // MARK: For services: the user comes from the request, because no user calls this

    public func getRelations(
        request: Ringway_V1_GetRelationsRequest, context: ServerContext
    ) async throws -> Ringway_V1_GetRelationsResponse {
        guard request.ownerIds.count <= relationsLimit else {
            throw FriendshipError.invalid("owner_ids", "must be at most \(relationsLimit)")
        }
        let relations = try await store.relations(of: request.viewerID, to: request.ownerIds)
        return .with { $0.relations = relations }
    }
}
