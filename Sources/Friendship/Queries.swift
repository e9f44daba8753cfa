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
             WHERE sender = \(user) AND expires_at > now() AND id < \(before)
             ORDER BY id DESC LIMIT \(page.fetched))
            UNION ALL
            (SELECT \(unescaped: FriendshipStore.requestColumns) FROM friendship.requests
             WHERE recipient = \(user) AND expires_at > now() AND id < \(before)
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

    /// The page of changes is cut first; then each looks up, by index, what it is about. The limits keep the planner
    /// from reading all friends of the user, or all blocks of everybody, for one page.
    static func changes(of user: Int64, on page: Page) -> PostgresQuery {
        """
        SELECT c.version, c.kind, c.peer_id, coalesce(f.since, b.since, r.created_at), f.group_id,
               coalesce(f.remark, r.message), r.id, r.sender, r.recipient, r.expires_at
        FROM (SELECT version, kind, peer_id FROM friendship.changes
              WHERE user_id = \(user) AND version > \(page.cursor) ORDER BY version LIMIT \(page.fetched)) AS c
        LEFT JOIN LATERAL (
            SELECT since, group_id, remark FROM friendship.friends
            WHERE c.kind = 1 AND user_id = \(user) AND friend_id = c.peer_id LIMIT 1
        ) AS f ON true
        LEFT JOIN LATERAL (
            SELECT since FROM friendship.blocks
            WHERE c.kind = 2 AND user_id = \(user) AND peer_id = c.peer_id LIMIT 1
        ) AS b ON true
        LEFT JOIN LATERAL (
            SELECT id, sender, recipient, message, created_at, expires_at FROM friendship.requests
            WHERE c.kind = 3 AND expires_at > now()
              AND least(sender, recipient) = least(\(user), c.peer_id)
              AND greatest(sender, recipient) = greatest(\(user), c.peer_id) LIMIT 1
        ) AS r ON true
        ORDER BY c.version
        """
    }

    /// One look into each index an owner, whatever the planner believes of the tables.
    static func relations(of viewer: Int64, to owners: [Int64]) -> PostgresQuery {
        """
        SELECT o.id, f.group_id IS NOT NULL, coalesce(f.group_id, 0),
               EXISTS (SELECT FROM friendship.blocks WHERE user_id = o.id AND peer_id = \(viewer) OFFSET 0),
               EXISTS (SELECT FROM friendship.blocks WHERE user_id = \(viewer) AND peer_id = o.id OFFSET 0)
        FROM unnest(\(owners)) WITH ORDINALITY AS o (id, place)
        LEFT JOIN LATERAL (
            SELECT group_id FROM friendship.friends WHERE user_id = o.id AND friend_id = \(viewer) LIMIT 1
        ) AS f ON true
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
            """,
        ]
    }

    /// Whether two users are friends, or one waits for the other's answer.
    static func tie(_ one: Int64, _ other: Int64) -> PostgresQuery {
        """
        SELECT EXISTS (SELECT FROM friendship.friends WHERE user_id = \(one) AND friend_id = \(other))
            OR EXISTS (SELECT FROM friendship.requests
                       WHERE least(sender, recipient) = \(min(one, other))
                         AND greatest(sender, recipient) = \(max(one, other)))
        """
    }

    /// Some of those who are a user's friends, or one of whom waits for the other's answer.
    static func tied(to user: Int64, limit: Int) -> PostgresQuery {
        """
        SELECT DISTINCT peer FROM (
            (SELECT friend_id AS peer FROM friendship.friends WHERE user_id = \(user) LIMIT \(limit))
            UNION ALL
            (SELECT recipient FROM friendship.requests WHERE sender = \(user) LIMIT \(limit))
            UNION ALL
            (SELECT sender FROM friendship.requests WHERE recipient = \(user) LIMIT \(limit))
        ) AS tied LIMIT \(limit)
        """
    }

    static func due(except refused: [Int64], limit: Int) -> PostgresQuery {
        """
        SELECT id, sender, recipient FROM friendship.requests
        WHERE expires_at <= now() AND id <> ALL (\(refused)) ORDER BY expires_at LIMIT \(limit)
        """
    }
}
