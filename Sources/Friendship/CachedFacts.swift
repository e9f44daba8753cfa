// What of this module's facts may be cached: the first page of a user's friends and of their requests, and their groups,
// which clients ask for at every start. How two users stand to each other is read from the database each time: a block must
// hold at once, and those who ask remember the answer themselves.
import Cache
import Contract
import Foundation
import GRPCCore
import ServiceKit

/// For whoever makes the cache.
public let friendshipCacheKinds = FriendshipFacts.kinds

enum FriendshipFacts {
    /// The first page of the usual length, as it is answered.
    static let friends = CacheFact<EncodedMessage<Ringway_V1_ListFriendsResponse>>(
        CacheKind("friends", topic: "lists"), encode: { $0.bytes }, decode: { try EncodedMessage(bytes: $0) })

    static let requests = CacheFact<FirstRequests>(
        CacheKind("friend_requests", topic: "lists"), encode: { $0.bytes }, decode: { try FirstRequests(bytes: $0) },
        holds: { FirstRequests.holds($0) })

    static let groups = CacheFact<Ringway_V1_ListFriendGroupsResponse>(
        CacheKind("friend_groups", topic: "lists"), encode: { try $0.serializedBytes() },
        decode: { try Ringway_V1_ListFriendGroupsResponse(serializedBytes: $0) })

    static let kinds = [friends.kind, requests.kind, groups.kind]

    static func keys(of users: [Int64]) -> [CacheKey] {
        users.flatMap { user in kinds.map { $0.key(user) } }
    }
}

/// The longest first page of a user's requests as it is answered, behind the second (Unix time) in which the first of them
/// expires, and how many they are. That end is nobody's change, so nobody tells it.
struct FirstRequests: Sendable {
    static let limit = 200

    private typealias Stored = EncodedMessage<Ringway_V1_ListFriendRequestsResponse>

    private let page: EncodedMessage<Ringway_V1_ListFriendRequestsResponse>

    var bytes: [UInt8] { page.bytes }

    init(_ answer: Ringway_V1_ListFriendRequestsResponse) throws {
        let end = answer.requests.map(\.expiresAt.seconds).min() ?? .max
        page = try Stored(answer, after: [end, Int64(answer.requests.count)])
    }

    init(bytes: [UInt8]) throws {
        page = try Stored(bytes: bytes, after: 2)
    }

    /// Whether none of them has expired.
    static func holds(_ bytes: [UInt8], at now: Date = .now) -> Bool {
        guard let end = Stored.number(0, in: bytes) else { return false }
        return now.timeIntervalSince1970 < Double(end)
    }

    /// What a handler returns for this beginning of the list.
    func answer(_ asked: Page, in context: ServerContext) throws -> Ringway_V1_ListFriendRequestsResponse {
        guard asked.limit < Stored.number(1, in: bytes) ?? 0 else { return try page.answer(in: context) }
        var part = try page.message()
        (part.requests, part.nextBefore) = asked.cut(part.requests, id: \.id)
        return part
    }
}
