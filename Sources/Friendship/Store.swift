// Requests, friendships, groups and blocks in Postgres (deploy/migrations/0004_friendship.sql, 0030_relations.sql).
//
// This file: what is read. Each read is one function whose answer is the value and the version it is of, and touches
// nothing but its own index. Store+Requests, +Friends, +Groups, +Blocks: what changes. Change.swift: what every change
// is made of.
//
// Locks: every change takes the rows of its users in friendship.owners first, in the order of their ids, and their logs'
// heads last, so changes of one user come one after the other, and nobody waits in a circle. Under that lock no
// constraint of the tables can fail for what the rules let through, so none is an answer: a violation is our own mistake.
import Cache
import Contract
import Foundation
import Postgres
import ServiceKit
import SwiftProtobuf

/// A value, and the version of its owner's lists that it is at least as new as.
struct Versioned<Value: Sendable>: Sendable {
    let value: Value
    let version: Int64
}

struct FriendshipStore: Sendable {
    static let requestColumns: StaticString = "id, sender, recipient, message, created_at, expires_at"

    let postgres: PostgresClient
    let settings: FriendshipSettings
    var cache = Cache.off

    /// A transaction that changes lists of these users: what is cached of them ends with it, however it ends.
    func change<Result: Sendable>(
        of users: Int64..., body: @Sendable (PostgresConnection) async throws -> Result
    ) async throws -> Result {
        defer { cache.drop(FriendshipFacts.keys(of: users)) }
        return try await postgres.transaction(body)
    }

    func requests(of user: Int64, on page: Page) async throws -> Ringway_V1_ListFriendRequestsResponse {
        let found = try await versioned(of: user, Queries.requests(of: user, on: page)) { try Self.request($0) }
        return .with {
            ($0.requests, $0.nextBefore) = page.cut(found.value, id: \.id)
            $0.version = found.version
        }
    }

    /// The beginning of the list, if that is what is asked for and it may be cached.
    func cachedRequests(of user: Int64, on page: Page) async throws -> FirstRequests? {
        guard cache.isOn, page.cursor == 0 else { return nil }
        return try await cache.read(FriendshipFacts.requests, of: [user]) { _ in
            let requests = try await requests(of: user, on: .first(FirstRequests.limit))
            return [user: CachedValue(try FirstRequests(requests), version: requests.version)]
        }[user]?.value
    }

    func friends(of user: Int64, on page: Page) async throws -> Ringway_V1_ListFriendsResponse {
        let found = try await versioned(of: user, Queries.friends(of: user, on: page), Self.friend)
        return .with {
            ($0.friends, $0.nextAfter) = page.cut(found.value, id: \.userID)
            $0.version = found.version
        }
    }

    /// The first page, if that is what is asked for and it may be cached.
    func cachedFriends(
        of user: Int64, on page: Page
    ) async throws -> EncodedMessage<Ringway_V1_ListFriendsResponse>? {
        guard cache.isOn, page.cursor == 0, page.limit == Self.usualPage else { return nil }
        return try await cache.read(FriendshipFacts.friends, of: [user]) { _ in
            let friends = try await friends(of: user, on: page)
            return [user: CachedValue(try EncodedMessage(friends), version: friends.version)]
        }[user]?.value
    }

    /// Friends a page when nobody says otherwise.
    static let usualPage = 200

    func blocks(of user: Int64, on page: Page) async throws -> Versioned<[Ringway_V1_Block]> {
        try await versioned(of: user, Queries.blocks(of: user, on: page), Self.block)
    }

    func groups(of user: Int64) async throws -> Versioned<[Ringway_V1_FriendGroup]> {
        let found = try await cache.read(FriendshipFacts.groups, of: [user]) { _ in
            let groups = try await versioned(of: user, Queries.groups(of: user), Self.group)
            return [user: CachedValue(.with { $0.groups = groups.value }, version: groups.version)]
        }
        return Versioned(value: found[user]?.value.groups ?? [], version: found[user]?.version ?? 0)
    }

    /// How each of `owners` stands to `viewer`, in their order.
    func relations(of viewer: Int64, to owners: [Int64]) async throws -> [Ringway_V1_Relation] {
        let rows = try await postgres.query(Queries.relations(of: viewer, to: owners))
        return try rows.map { row in
            let (owner, isFriend, group, ownerBlocks, viewerBlocks) = try row.decode(
                Int64.self, Bool.self, Int64.self, Bool.self, Bool.self)
            return .with {
                $0.ownerID = owner
                $0.friend = isFriend
                $0.groupID = group
                $0.ownerBlocks = ownerBlocks
                $0.viewerBlocks = viewerBlocks
            }
        }
    }

    /// The version is read first: what changes between the two is told again later, and nothing is missed.
    private func versioned<Entry: Sendable>(
        of user: Int64, _ query: PostgresQuery, _ decode: @Sendable (PostgresRow) throws -> Entry
    ) async throws -> Versioned<[Entry]> {
        let answers = try await postgres.pipeline([Queries.version(of: user), query])
        let version = try answers[0].first.map { try $0[0, as: Int64.self] } ?? 0
        return Versioned(value: try answers[1].map(decode), version: version)
    }

    // MARK: What has changed

    func changes(of user: Int64, on page: Page) async throws -> Ringway_V1_ListRelationChangesResponse {
        let answers = try await postgres.pipeline([
            Queries.version(of: user), Queries.changes(of: user, on: page),
            Queries.groups(of: user, newerThan: page.cursor),
        ])
        // No row: nothing of this user has ever changed.
        let versions: (Int64, Int64)? = try answers[0].first.map { try $0.decode(Int64.self, Int64.self) }
        let (head, groupsVersion) = versions ?? (0, 0)
        guard page.cursor <= head else { throw FriendshipError.aheadOfVersion(head) }
        // What came after the versions were read is told the next time, and so are the groups as they were by then.
        let rows = try answers[1].filter { try $0[0, as: Int64.self] <= head }
        var changes = Ringway_V1_ListRelationChangesResponse()
        for row in rows.prefix(page.limit) { try Self.add(row, to: &changes) }
        changes.groupsChanged = groupsVersion > page.cursor
        if changes.groupsChanged { changes.groups = try answers[2].map(Self.group) }
        changes.more = rows.count > page.limit
        if !changes.more { changes.version = head }
        return changes
    }

    /// A row is a change and what is there now; what is not there has been removed.
    private static func add(_ row: PostgresRow, to changes: inout Ringway_V1_ListRelationChangesResponse) throws {
        let (version, kind, peer) = (
            try row[0, as: Int64.self], try row[1, as: Int.self], try row[2, as: Int64.self])
        let since = try row[3, as: Date?.self]
        changes.version = version
        switch (Change.Kind(rawValue: Int16(kind)), since) {
        case (.friend, let since?):
            changes.friends.append(
                friend(peer, since, try row[4, as: Int64.self], try row[5, as: String.self]))
        case (.friend, nil): changes.removedFriendIds.append(peer)
        case (.block, let since?):
            changes.blocks.append(
                .with {
                    $0.userID = peer
                    $0.since = Google_Protobuf_Timestamp(microsecondsOf: since)
                })
        case (.block, nil): changes.unblockedIds.append(peer)
        case (.request, let createdAt?):
            changes.requests.append(
                try request(
                    row[6, as: Int64.self], row[7, as: Int64.self], row[8, as: Int64.self],
                    row[5, as: String.self], createdAt, row[9, as: Date.self]))
        case (.request, nil): changes.endedRequestUserIds.append(peer)
        case (nil, _): break
        }
    }

    // MARK: Rows

    /// - Parameter first: the column where those of a request begin.
    static func request(_ row: PostgresRow, from first: Int = 0) throws -> Ringway_V1_FriendRequest {
        try request(
            row[first, as: Int64.self], row[first + 1, as: Int64.self], row[first + 2, as: Int64.self],
            row[first + 3, as: String.self], row[first + 4, as: Date.self], row[first + 5, as: Date.self])
    }

    private static func request(
        _ id: Int64, _ sender: Int64, _ recipient: Int64, _ message: String, _ createdAt: Date, _ expiresAt: Date
    ) -> Ringway_V1_FriendRequest {
        .with {
            $0.id = id
            $0.from = sender
            $0.to = recipient
            $0.message = message
            $0.state = .pending
            $0.createdAt = Google_Protobuf_Timestamp(microsecondsOf: createdAt)
            $0.expiresAt = Google_Protobuf_Timestamp(microsecondsOf: expiresAt)
        }
    }

    static func friend(_ row: PostgresRow) throws -> Ringway_V1_Friend {
        let (id, since, group, remark) = try row.decode(Int64.self, Date.self, Int64.self, String.self)
        return friend(id, since, group, remark)
    }

    private static func friend(_ id: Int64, _ since: Date, _ group: Int64, _ remark: String) -> Ringway_V1_Friend {
        .with {
            $0.userID = id
            $0.since = Google_Protobuf_Timestamp(microsecondsOf: since)
            $0.groupID = group
            $0.remark = remark
        }
    }

    static func block(_ row: PostgresRow) throws -> Ringway_V1_Block {
        let (peer, since) = try row.decode(Int64.self, Date.self)
        return .with {
            $0.userID = peer
            $0.since = Google_Protobuf_Timestamp(microsecondsOf: since)
        }
    }

    static func group(_ row: PostgresRow) throws -> Ringway_V1_FriendGroup {
        let (id, name) = try row.decode(Int64.self, String.self)
        return .with {
            $0.id = id
            $0.name = name
        }
    }
}
