// Users without accounts, and what their logs hold.
import Contract
import Foundation
import Postgres

extension TestDatabase {
    /// A user with a profile and a log, as registering makes them, but nothing to log in with.
    public func makeUser(_ username: String) async throws -> Int64 {
        try await client.transaction { connection in
            let user = try await connection.query("SELECT public.ringway_next_id()")[0].decode(Int64.self)
            try await connection.query("SELECT profile.create(\(user), \(username)), inbox.open(\(user))")
            return user
        }
    }

    /// The user's log from its beginning, with each entry's seq.
    public func events(of user: Int64) async throws -> [Ringway_V1_Event] {
        let rows = try await client.query("SELECT seq, payload FROM inbox.events WHERE user_id = \(user) ORDER BY seq")
        return try rows.map { row in
            let (seq, payload) = try row.decode(Int64.self, Data.self)
            var event = try Ringway_V1_Event(serializedBytes: payload)
            event.seq = seq
            return event
        }
    }
}
