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
        holds: { FirstRequests.hold($0) })

    static let groups = CacheFact<Ringway_V1_ListFriendGroupsResponse>(
        CacheKind("friend_groups", topic: "lists"), encode: { try $0.serializedBytes() },
        decode: { try Ringway_V1_ListFriendGroupsResponse(serializedBytes: $0) })

    static let kinds = [friends.kind, requests.kind, groups.kind]

    static func keys(of users: [Int64]) -> [CacheKey] {
        users.flatMap { user in kinds.map { $0.key(user) } }
    }
}

/// The longest first page of a user's requests as it is answered, behind the second (Unix time) in which the first of them
/// expires: eight bytes. That end is nobody's change, so nobody tells it.
struct FirstRequests: Sendable {
    static let limit = 200
    private static let headBytes = 8

    private let page: EncodedMessage<Ringway_V1_ListFriendRequestsResponse>

    var bytes: [UInt8] { page.bytes }

    init(_ answer: Ringway_V1_ListFriendRequestsResponse) throws {
        let end = answer.requests.map(\.expiresAt.seconds).min() ?? .max
        page = try EncodedMessage(answer, after: withUnsafeBytes(of: end.littleEndian) { Array($0) })
    }

    init(bytes: [UInt8]) throws {
        page = try EncodedMessage(bytes: bytes, after: Self.headBytes)
    }

    /// Whether none of them has expired.
    static func hold(_ bytes: [UInt8], at now: Date = .now) -> Bool {
        guard bytes.count >= headBytes else { return false }
        let end = bytes.withUnsafeBytes { Int64(littleEndian: $0.loadUnaligned(as: Int64.self)) }
        return now.timeIntervalSince1970 < Double(end)
    }

    /// What a handler returns for this beginning of the list.
    func answer(_ asked: Page, in context: ServerContext) throws -> Ringway_V1_ListFriendRequestsResponse {
        guard asked.limit < Self.limit, case var part = try page.message(), part.requests.count > asked.limit else {
            return try page.answer(in: context)
        }
        (part.requests, part.nextBefore) = asked.cut(part.requests, id: \.id)
        return part
    }
}
