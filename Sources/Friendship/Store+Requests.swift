// Requests on their way: asked, answered, withdrawn, expired.
import Contract
import Postgres
import ServiceKit

extension FriendshipStore {
    /// - Parameter mayAdd: asked before anything is locked, of everybody alike: who does not exist, who has blocked the
    ///   sender and who does not want to be added take the same way and the same time.
    func propose(
        _ proposal: Proposal, mayAdd: (Proposal) async throws -> Bool
    ) async throws -> Ringway_V1_FriendRequest {
        let glance = try await postgres.withConnection { try await Self.standing(of: proposal, on: $0) }
        if glance.needsConsent, !glance.senderBlocks {
            let isWelcome = try await mayAdd(proposal)
            guard isWelcome, glance.recipientExists, !glance.recipientBlocks else { throw FriendshipError.noSuchUser }
        }
        return try await change(of: proposal.sender, proposal.recipient) { connection in
            try await connection.query(Change.lock(proposal.sender, proposal.recipient))
            let standing = try await Self.standing(of: proposal, on: connection)
            switch try standing.outcome(of: proposal, settings) {
            case .repeated(let request): return request
            case .accept(let request):
                return try await accept(request.id, by: proposal.sender, on: connection)
            case .ask(let ending):
                if let ending { try await Self.end(ending, as: .expired, on: connection) }
                return try await ask(proposal, on: connection)
            }
        }
    }

    func accept(_ id: Int64, by recipient: Int64) async throws -> Ringway_V1_FriendRequest {
        try await answering(by: recipient) { try await accept(id, by: recipient, on: $0) }
    }

    func reject(_ id: Int64, by recipient: Int64) async throws -> Ringway_V1_FriendRequest {
        try await answering(by: recipient) { connection in
            let request = try await Self.pending(id, "recipient", recipient, on: connection)
            return try await Self.end(request, as: .rejected, on: connection)
        }
    }

    func withdraw(_ id: Int64, by sender: Int64) async throws -> Ringway_V1_FriendRequest {
        try await answering(by: sender) { connection in
            let request = try await Self.pending(id, "sender", sender, on: connection)
            return try await Self.end(request, as: .withdrawn, on: connection)
        }
    }

    /// A change whose other side is known only from what it returns; if it is lost on its way, the commit tells of it.
    private func answering(
        by user: Int64, _ body: @Sendable (PostgresConnection) async throws -> Ringway_V1_FriendRequest
    ) async throws -> Ringway_V1_FriendRequest {
        let request = try await change(of: user, body: body)
        cache.drop(FriendshipFacts.keys(of: [request.from, request.to]))
        return request
    }

    /// Ends all requests that nobody has answered in time, looking for `limit` at once. They have been invisible since their
    /// time: this tells both sides, and makes room.
    func sweep(limit: Int) async throws {
        try await Sweep.run { refused in
            try await postgres.query(Queries.due(except: refused, limit: limit)).map { row in
                let (id, sender, recipient) = try row.decode(Int64.self, Int64.self, Int64.self)
                return (id, (id, sender, recipient))
            }
        } end: { id, sender, recipient in
            try await expire(id, from: sender, to: recipient)
        }
    }

    private func expire(_ id: Int64, from sender: Int64, to recipient: Int64) async throws {
        try await change(of: sender, recipient) { connection in
            let answers = try await connection.pipeline([
                Change.lock(sender, recipient),
                """
                SELECT \(unescaped: Self.requestColumns) FROM friendship.requests
                WHERE id = \(id) AND expires_at <= now()
                """,
            ])
            guard let row = answers[1].first else { return }
            try await Self.end(Self.request(row), as: .expired, on: connection)
        }
    }

    // MARK: Parts

    static func standing(of proposal: Proposal, on connection: PostgresConnection) async throws -> Standing {
        let answers = try await connection.pipeline(Queries.standing(of: proposal))
        let (exists, areFriends, recipientBlocks, senderBlocks, sent, received) = try answers[0][0].decode(
            Bool.self, Bool.self, Bool.self, Bool.self, Int.self, Int.self)
        var pending: Ringway_V1_FriendRequest?
        var isOver = false
        if let row = answers[1].first {
            isOver = try row[0, as: Bool.self]
            pending = try request(row, from: 1)
        }
        return Standing(
            recipientExists: exists, areFriends: areFriends, recipientBlocks: recipientBlocks,
            senderBlocks: senderBlocks, pending: pending, pendingIsOver: isOver, sent: sent, received: received)
    }

    private func ask(_ proposal: Proposal, on connection: PostgresConnection) async throws -> Ringway_V1_FriendRequest {
        let (sender, recipient) = (proposal.sender, proposal.recipient)
        let rows = try await connection.query(
            """
            INSERT INTO friendship.requests (sender, recipient, message, expires_at)
            VALUES (\(sender), \(recipient), \(proposal.message),
                    now() + \(settings.requestLifetime.components.seconds) * interval '1 second')
            RETURNING \(unescaped: Self.requestColumns)
            """)
        let request = try Self.request(rows[0])
        _ = try await connection.pipeline([
            Change.countPending(1, from: sender, to: recipient),
            Change.note(.request, between: sender, and: recipient),
            Change.tell(.requested, between: sender, and: recipient, request),
        ])
        return request
    }

    private func accept(
        _ id: Int64, by recipient: Int64, on connection: PostgresConnection
    ) async throws -> Ringway_V1_FriendRequest {
        var request = try await Self.pending(id, "recipient", recipient, on: connection)
        try await requireRoom(for: request, on: connection)
        request.state = .accepted
        _ = try await connection.pipeline([
            Self.forget(request),
            """
            INSERT INTO friendship.friends (user_id, friend_id)
            VALUES (\(request.from), \(request.to)), (\(request.to), \(request.from))
            """,
            Change.countPending(-1, from: request.from, to: request.to),
            Change.countFriends(1, request.from, request.to),
            Change.note(.request, between: request.from, and: request.to),
            Change.note(.friend, between: request.from, and: request.to),
            Change.tell(.accepted, between: request.from, and: request.to, request),
        ])
        return request
    }

    private func requireRoom(for request: Ringway_V1_FriendRequest, on connection: PostgresConnection) async throws {
        let full = try await connection.query(
            """
            SELECT user_id FROM friendship.owners
            WHERE user_id IN (\(request.from), \(request.to)) AND friends >= \(Int64(settings.friendsMax))
            """
        ).map { try $0.decode(Int64.self) }
        if full.contains(request.to) {
            throw FriendshipError.limit("you have \(settings.friendsMax) friends, the most there may be")
        }
        if !full.isEmpty { throw FriendshipError.limit("that user has as many friends as there may be") }
    }

    /// The pending request of this id that has `user` in `column`, with both users locked.
    private static func pending(
        _ id: Int64, _ column: StaticString, _ user: Int64, on connection: PostgresConnection
    ) async throws -> Ringway_V1_FriendRequest {
        // Who asked whom never changes, so it may be read before the lock is held; what may have changed is looked at
        // afterwards.
        let answers = try await connection.pipeline([
            """
            SELECT friendship.lock_users(ARRAY[sender, recipient]) FROM friendship.requests
            WHERE id = \(id) AND \(unescaped: column) = \(user)
            """,
            """
            SELECT \(unescaped: requestColumns) FROM friendship.requests
            WHERE id = \(id) AND \(unescaped: column) = \(user) AND expires_at > now()
            """,
        ])
        guard let row = answers[1].first else { throw FriendshipError.noSuchRequest }
        return try request(row)
    }

    /// What became of it stands in the logs of both.
    private static func forget(_ request: Ringway_V1_FriendRequest) -> PostgresQuery {
        "DELETE FROM friendship.requests WHERE id = \(request.id)"
    }

    /// Ends a pending request of two locked users without a friendship.
    @discardableResult
    static func end(
        _ request: Ringway_V1_FriendRequest, as state: Ringway_V1_FriendRequest.State,
        on connection: PostgresConnection
    ) async throws -> Ringway_V1_FriendRequest {
        var request = request
        request.state = state
        let change: Ringway_V1_FriendEvent.Change =
            switch state {
            case .withdrawn: .withdrawn
            case .expired: .expired
            default: .rejected
            }
        _ = try await connection.pipeline([
            forget(request),
            Change.countPending(-1, from: request.from, to: request.to),
            Change.note(.request, between: request.from, and: request.to),
            Change.tell(change, between: request.from, and: request.to, request),
        ])
        return request
    }
}
