// The reads, as text and parameters, so that a test can ask Postgres how it would run each of them.
import Postgres

enum Queries {
    static func version(of user: Int64) -> PostgresQuery {
        "SELECT version, groups_version FROM friendship.owners WHERE user_id = \(user)"
    }

    /// Each half comes in order from its own index and stops at the limit; an OR would read and sort everything.
    static func requests(of user: Int64, on page: Page) -> PostgresQuery {
        let before = page.cursor == 0 ? Int64.max : page.cursor
        return """
            (SELECT \(unescaped: FriendshipStore.requestColumns) FROM friendship.requests
             WHERE sender = \(user) AND state = 1 AND expires_at > now() AND id < \(before)
             ORDER BY id DESC LIMIT \(page.fetched))
            UNION ALL
            (SELECT \(unescaped: FriendshipStore.requestColumns) FROM friendship.requests
             WHERE recipient = \(user) AND state = 1 AND expires_at > now() AND id < \(before)
             ORDER BY id DESC LIMIT \(page.fetched))
            ORDER BY id DESC LIMIT \(page.fetched)
            """
    }

    static func friends(of user: Int64, on page: Page) -> PostgresQuery {
        """
        SELECT friend_id, since, group_id, remark FROM friendship.friends
        WHERE user_id = \(user) AND friend_id > \(page.cursor) ORDER BY friend_id LIMIT \(page.fetched)
        """
    }

    static func blocks(of user: Int64, on page: Page) -> PostgresQuery {
        """
        SELECT peer_id, since FROM friendship.blocks
        WHERE user_id = \(user) AND peer_id > \(page.cursor) ORDER BY peer_id LIMIT \(page.fetched)
        """
    }

    static func groups(of user: Int64) -> PostgresQuery {
        "SELECT id, name FROM friendship.groups WHERE user_id = \(user) ORDER BY position, id"
    }

    /// All of them, or none if none has changed.
    static func groups(of user: Int64, newerThan version: Int64) -> PostgresQuery {
        """
        SELECT id, name FROM friendship.groups
        WHERE user_id = \(user)
          AND EXISTS (SELECT FROM friendship.owners WHERE user_id = \(user) AND groups_version > \(version))
        ORDER BY position, id
        """
    }

    /// The page of changes is cut first; then each looks up, by primary key, what it is about.
    static func changes(of user: Int64, on page: Page) -> PostgresQuery {
        """
        SELECT c.version, c.kind, c.peer_id, coalesce(f.since, b.since, r.created_at), f.group_id,
               coalesce(f.remark, r.message), r.id, r.sender, r.recipient, r.expires_at
        FROM (SELECT version, kind, peer_id FROM friendship.changes
              WHERE user_id = \(user) AND version > \(page.cursor) ORDER BY version LIMIT \(page.fetched)) AS c
        LEFT JOIN friendship.friends f ON c.kind = 1 AND f.user_id = \(user) AND f.friend_id = c.peer_id
        LEFT JOIN friendship.blocks b ON c.kind = 2 AND b.user_id = \(user) AND b.peer_id = c.peer_id
        LEFT JOIN friendship.requests r
            ON c.kind = 3 AND r.state = 1 AND r.expires_at > now()
            AND least(r.sender, r.recipient) = least(\(user), c.peer_id)
            AND greatest(r.sender, r.recipient) = greatest(\(user), c.peer_id)
        ORDER BY c.version
        """
    }

    static func relations(of viewer: Int64, to owners: [Int64]) -> PostgresQuery {
        """
        SELECT o.id, f.user_id IS NOT NULL, coalesce(f.group_id, 0), b.user_id IS NOT NULL, v.user_id IS NOT NULL
        FROM unnest(\(owners)) WITH ORDINALITY AS o (id, place)
        LEFT JOIN friendship.friends f ON f.user_id = o.id AND f.friend_id = \(viewer)
        LEFT JOIN friendship.blocks b ON b.user_id = o.id AND b.peer_id = \(viewer)
        LEFT JOIN friendship.blocks v ON v.user_id = \(viewer) AND v.peer_id = o.id
        ORDER BY o.place
        """
    }

    static func standing(of proposal: Proposal) -> [PostgresQuery] {
        let (sender, recipient) = (proposal.sender, proposal.recipient)
        return [
            """
            SELECT profile.user_exists(\(recipient)),
                EXISTS (SELECT FROM friendship.friends WHERE user_id = \(sender) AND friend_id = \(recipient)),
                EXISTS (SELECT FROM friendship.blocks WHERE user_id = \(recipient) AND peer_id = \(sender)),
                EXISTS (SELECT FROM friendship.blocks WHERE user_id = \(sender) AND peer_id = \(recipient)),
                coalesce((SELECT sent FROM friendship.owners WHERE user_id = \(sender)), 0),
                coalesce((SELECT received FROM friendship.owners WHERE user_id = \(recipient)), 0)
            """,
            """
            SELECT expires_at <= now(), \(unescaped: FriendshipStore.requestColumns) FROM friendship.requests
            WHERE least(sender, recipient) = \(min(sender, recipient))
              AND greatest(sender, recipient) = \(max(sender, recipient))
              AND state = 1
            """,
        ]
    }

    static func due(limit: Int) -> PostgresQuery {
        """
        SELECT id, sender, recipient FROM friendship.requests
        WHERE state = 1 AND expires_at <= now() ORDER BY expires_at LIMIT \(limit)
        """
    }
}
