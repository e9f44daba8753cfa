// For the seeding command, which writes accounts by the thousand: one hash that all of them share.

extension PasswordHasher {
    /// A password's hash in argon2's encoded form, as the accounts table keeps it.
    public func encodedHash(of password: String) async throws -> String {
        try await hash(Password(password))
    }
}
