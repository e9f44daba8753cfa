// What a change between two users, or of one user's own lists, is made of: the lock, the counts, the versions, and the
// events. The parts of one change go out in one pipeline.
import Contract
import Postgres
import ServiceKit

enum Change {
    /// friendship.changes.kind
    enum Kind: Int16 {
        case friend = 1
        case block = 2
        case request = 3
    }

    // MARK: Lock, counts, versions

    static func lock(_ users: Int64...) -> PostgresQuery {
        "SELECT friendship.lock_users(\(users))"
    }

    /// To each of the two, the other has changed as what `kind` says.
    static func note(_ kind: Kind, between one: Int64, and other: Int64) -> PostgresQuery {
        """
        SELECT friendship.note(\(one), \(kind.rawValue), \([other])),
               friendship.note(\(other), \(kind.rawValue), \([one]))
        """
    }

    static func note(_ kind: Kind, of owner: Int64, _ peers: [Int64]) -> PostgresQuery {
        "SELECT friendship.note(\(owner), \(kind.rawValue), \(peers))"
    }

    static func countPending(_ difference: Int64, from sender: Int64, to recipient: Int64) -> PostgresQuery {
        """
        UPDATE friendship.owners
        SET sent = sent + CASE user_id WHEN \(sender) THEN \(difference) ELSE 0 END,
            received = received + CASE user_id WHEN \(recipient) THEN \(difference) ELSE 0 END
        WHERE user_id IN (\(sender), \(recipient))
        """
    }

    static func countFriends(_ difference: Int64, _ one: Int64, _ other: Int64) -> PostgresQuery {
        "UPDATE friendship.owners SET friends = friends + \(difference) WHERE user_id IN (\(one), \(other))"
    }

    static func countBlocks(_ difference: Int64, of owner: Int64) -> PostgresQuery {
        "UPDATE friendship.owners SET blocks = blocks + \(difference) WHERE user_id = \(owner)"
    }

    static func countGroups(_ difference: Int64, of owner: Int64) -> PostgresQuery {
        """
        UPDATE friendship.owners
        SET groups = groups + \(difference), version = version + 1, groups_version = version + 1
        WHERE user_id = \(owner)
        """
    }

    // MARK: Events

    /// Tells both users, each about the other.
    static func tell(
        _ change: Ringway_V1_FriendEvent.Change, between one: Int64, and other: Int64,
        _ request: Ringway_V1_FriendRequest? = nil
    ) throws -> PostgresQuery {
        func event(about user: Int64) -> Ringway_V1_Event {
            .with {
                $0.friend.change = change
                $0.friend.userID = user
                if let request { $0.friend.request = request }
            }
        }
        return try .appendToInbox([one: event(about: other), other: event(about: one)])
    }

    /// Tells the other devices of who did it, and nobody else.
    static func tell(
        _ change: Ringway_V1_FriendEvent.Change, to owner: Int64, about user: Int64 = 0,
        _ fill: (inout Ringway_V1_FriendEvent) -> Void = { _ in }
    ) throws -> PostgresQuery {
        var event = Ringway_V1_Event()
        event.friend.change = change
        event.friend.userID = user
        fill(&event.friend)
        return try .appendToInbox([owner: event])
    }

    /// At the commit, gateways forget to whom this user may write. Unlike a log's hint it shows on no socket.
    static func forgetPermissions(of user: Int64) -> PostgresQuery {
        "SELECT pg_notify('ringway_relations', \(user)::text)"
    }
}
