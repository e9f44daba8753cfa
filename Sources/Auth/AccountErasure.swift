// What Auth does when an account's time has come: forgets it, and tells every other service, whose own files of this name
// say what they do then.
import Outbox
import Postgres

extension AuthStore {
    /// Ends one account whose time has come: its rows here go, and the outbox tells the others in the same transaction.
    /// False when there is none. Nodes that do this at once pass over each other's.
    func eraseOne() async throws -> Bool {
        try await postgres.transaction { connection in
            let rows = try await connection.query(
                """
                SELECT id FROM auth.accounts WHERE delete_after <= now()
                ORDER BY delete_after LIMIT 1 FOR UPDATE SKIP LOCKED
                """)
            guard let user = try rows.first?.decode(Int64.self) else { return false }
            _ = try await connection.pipeline([
                "DELETE FROM auth.refresh_tokens WHERE user_id = \(user)",
                "DELETE FROM auth.devices WHERE user_id = \(user)",
                "DELETE FROM auth.accounts WHERE id = \(user)",
                .appendToOutbox("auth", topic: AccountDeleted.topic, key: user, to: AccountDeleted.consumers),
            ])
            return true
        }
    }
}
