// ringway.v1.FriendshipService: reads a request, applies the rules, asks the store. It holds no state.
import Contract
import GRPCCore
import Postgres
import ServiceKit

public struct FriendshipHandler: Ringway_V1_FriendshipService.SimpleServiceProtocol {
    private let store: FriendshipStore

    public init(postgres: PostgresClient) {
        store = FriendshipStore(postgres: postgres)
    }

    public func requestFriend(
        request: Ringway_V1_RequestFriendRequest, context: ServerContext
    ) async throws -> Ringway_V1_FriendRequest {
        let caller = try Caller.required()
        return try await store.propose(Proposal(from: caller.userID, to: request.to, message: request.message))
    }

    public func listFriendRequests(
        request: Ringway_V1_ListFriendRequestsRequest, context: ServerContext
    ) async throws -> Ringway_V1_ListFriendRequestsResponse {
        let caller = try Caller.required()
        let page = try Page(
            limit: request.limit, default: 50, maximum: 200, cursor: request.before, named: "before")
        let (requests, next) = page.cut(try await store.requests(of: caller.userID, on: page), id: \.id)
        return .with {
            $0.requests = requests
            $0.nextBefore = next
        }
    }

    public func acceptFriendRequest(
        request: Ringway_V1_AcceptFriendRequestRequest, context: ServerContext
    ) async throws -> Ringway_V1_FriendRequest {
        try await store.answer(request.id, by: Caller.required().userID, with: .accepted)
    }

    public func rejectFriendRequest(
        request: Ringway_V1_RejectFriendRequestRequest, context: ServerContext
    ) async throws -> Ringway_V1_FriendRequest {
        try await store.answer(request.id, by: Caller.required().userID, with: .rejected)
    }

    public func listFriends(
        request: Ringway_V1_ListFriendsRequest, context: ServerContext
    ) async throws -> Ringway_V1_ListFriendsResponse {
        let caller = try Caller.required()
        let page = try Page(
            limit: request.limit, default: 200, maximum: 1000, cursor: request.after, named: "after")
        let (friends, next) = page.cut(try await store.friends(of: caller.userID, on: page), id: \.userID)
        return .with {
            $0.friends = friends
            $0.nextAfter = next
        }
    }

    public func removeFriend(
        request: Ringway_V1_RemoveFriendRequest, context: ServerContext
    ) async throws -> Ringway_V1_RemoveFriendResponse {
        try await store.remove(request.userID, of: Caller.required().userID)
        return Ringway_V1_RemoveFriendResponse()
    }

    /// For services: the user comes from the request, because no user calls it.
    public func filterFriends(
        request: Ringway_V1_FilterFriendsRequest, context: ServerContext
    ) async throws -> Ringway_V1_FilterFriendsResponse {
        guard request.peerIds.count <= filterLimit else {
            throw FriendshipError.invalid("peer_ids must be at most \(filterLimit)")
        }
        let friends = try await store.friends(of: request.userID, among: request.peerIds)
        return .with { $0.friendIds = friends }
    }

    /// For services, like the above.
    public func getRelations(
        request: Ringway_V1_GetRelationsRequest, context: ServerContext
    ) async throws -> Ringway_V1_GetRelationsResponse {
        guard request.ownerIds.count <= filterLimit else {
            throw FriendshipError.invalid("owner_ids must be at most \(filterLimit)")
        }
        let relations = try await store.relations(of: request.viewerID, to: request.ownerIds)
        return .with { $0.relations = relations }
    }
}
