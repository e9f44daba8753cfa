// What of this module's facts may be cached: the first page of a user's friends and their groups, which clients ask for
// at every start. How two users stand to each other is read from the database each time: a block must hold at once, and
// those who ask remember the answer themselves.
import Cache
import Contract
import ServiceKit

/// For whoever makes the cache.
public let friendshipCacheKinds = [FriendshipFacts.friends.kind, FriendshipFacts.groups.kind]

enum FriendshipFacts {
    /// The first page of the usual length, as it is answered.
    static let friends = CacheFact<EncodedMessage<Ringway_V1_ListFriendsResponse>>(
        CacheKind("friends", topic: "lists"), encode: { $0.bytes }, decode: { try EncodedMessage(bytes: $0) })

    static let groups = CacheFact<Ringway_V1_ListFriendGroupsResponse>(
        CacheKind("friend_groups", topic: "lists"), encode: { try $0.serializedBytes() },
        decode: { try Ringway_V1_ListFriendGroupsResponse(serializedBytes: $0) })

    static func keys(of users: [Int64]) -> [CacheKey] {
        users.flatMap { [friends.kind.key($0), groups.kind.key($0)] }
    }
}
