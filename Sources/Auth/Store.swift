// Accounts in Postgres (deploy/migrations/0002_auth.sql, 0010_auth_devices.sql). Neither passwords nor tokens come
// here, only hashes of them. Devices, refresh tokens and signing keys: the files beside this one.
//
// Locks, in this order: an account's row, its devices, its refresh tokens, and a log's head last (see
// PostgresQuery.appendToInbox). A refresh waits for the row of its own token only.
import Contract
import Foundation
import Outbox
import Postgres
import ServiceKit

/// A user on a device: what tokens are issued for.
struct Session: Hashable {
    let userID: Int64
    let deviceID: Int64
}

struct StoredAccount {
    let userID: Int64
    let username: String
    let passwordHash: String
    let email: String?
}

struct AuthStore: Sendable {
    let postgres: PostgresClient

    // MARK: Coming

    /// The account, its profile, its log and its first device, all or nothing.
    func register(
        _ username: Username, email: EmailAddress?, passwordHash: String, on device: NewDevice,
        with token: RefreshToken, lifetime: Duration
    ) async throws -> Session {
        try await translating {
            try await postgres.transaction { connection in
                let accounts = try await connection.query(
                    """
                    INSERT INTO auth.accounts (username, password_hash, email)
                    VALUES (\(username.text), \(passwordHash), \(email?.text))
                    RETURNING id
                    """)
                let user = try accounts[0].decode(Int64.self)
                let answers = try await connection.pipeline([
                    "SELECT profile.create(\(user), \(username.text))",
                    "SELECT inbox.open(\(user))",
                    Self.addDevice(device, of: user, with: token, lifetime: lifetime),
                ])
                return Session(userID: user, deviceID: try answers[2][0].decode(Int64.self))
            }
        }
    }

    // MARK: Looking

    /// Whose end has come is gone, although the rows wait for somebody to take them away.
    func account(named username: Username) async throws -> StoredAccount? {
        try await Self.account(
            postgres.query(
                """
                SELECT id, username, password_hash, email FROM auth.accounts
                WHERE username = \(username.text) AND coalesce(delete_after > now(), true)
                """))
    }

    func account(_ user: Int64) async throws -> StoredAccount? {
        try await Self.account(
            postgres.query("SELECT id, username, password_hash, email FROM auth.accounts WHERE id = \(user)"))
    }

    /// The account as its owner sees it.
    func ownAccount(_ user: Int64) async throws -> Ringway_V1_Account? {
        let rows = try await postgres.query(
            "SELECT username, email, created_at FROM auth.accounts WHERE id = \(user)")
        guard let (username, email, createdAt) = try rows.first?.decode(String.self, String?.self, Date.self) else {
            return nil
        }
        return .with {
            ($0.userID, $0.username, $0.email) = (user, username, email ?? "")
            $0.createdAt = .init(microsecondsOf: createdAt)
        }
    }

    private static func account(_ rows: PostgresRows) throws -> StoredAccount? {
        guard
            let (user, username, hash, email) = try rows.first?.decode(
                Int64.self, String.self, String.self, String?.self)
        else { return nil }
        return StoredAccount(userID: user, username: username, passwordHash: hash, email: email)
    }

    // MARK: Changing

    /// Each of these takes the hash that the password was compared with: if it is another one by now, the password
    /// that was given is no longer the password, and nothing happens. Returns whether it did.

    func changePassword(of account: StoredAccount, to hash: String, keeping device: Int64) async throws -> Bool {
        try await postgres.transaction { connection in
            guard try await Self.lock(account, on: connection) else { return false }
            try await connection.query(
                "UPDATE auth.accounts SET password_hash = \(hash) WHERE id = \(account.userID)")
            try await Self.revokeAll(of: account.userID, keeping: device, on: connection)
            return true
        }
    }

    func changeEmail(of account: StoredAccount, to email: EmailAddress?) async throws -> Bool {
        try await translating {
            try await postgres.transaction { connection in
                guard try await Self.lock(account, on: connection) else { return false }
                try await connection.query(
                    "UPDATE auth.accounts SET email = \(email?.text) WHERE id = \(account.userID)")
                return true
            }
        }
    }

    /// Ends all devices now, and has the account ended after the grace period. Nil: the password has changed.
    func scheduleDeletion(of account: StoredAccount, after grace: Duration) async throws -> Date? {
        try await postgres.transaction { connection in
            guard try await Self.lock(account, on: connection) else { return nil }
            let rows = try await connection.query(
                """
                UPDATE auth.accounts SET delete_after = now() + make_interval(secs => \(grace.seconds))
                WHERE id = \(account.userID) RETURNING delete_after
                """)
            try await Self.revokeAll(of: account.userID, keeping: nil, on: connection)
            return try rows[0].decode(Date.self)
        }
    }

    static func lock(_ account: StoredAccount, on connection: PostgresConnection) async throws -> Bool {
        let rows = try await connection.query(
            "SELECT password_hash FROM auth.accounts WHERE id = \(account.userID) FOR NO KEY UPDATE")
        return try rows.first?.decode(String.self) == account.passwordHash
    }

    // MARK: Errors

    /// The constraints that a client's input can break although it keeps the rules. Everything else passes unchanged.
    private func translating<Result>(_ body: () async throws -> Result) async throws -> Result {
        do {
            return try await body()
        } catch let error as PostgresError {
            switch error.constraint {
            case "accounts_username_taken", "accounts_username_confusable": throw AuthError.usernameTaken
            case "accounts_email_taken": throw AuthError.emailTaken
            default: throw error
            }
        }
    }
}

extension Duration {
    /// As make_interval takes it.
    var seconds: Double { self / .seconds(1) }
}
