// Brings a database to the schema of this program: applies the files `NNNN_name.sql` of a directory once each, in
// order, each in a transaction of its own, and records them. It has no way back: a mistake is mended by the next file.
//
// Several migrators may start at once; an advisory lock lets one work and the others find nothing to do. The lock
// belongs to a session, so migrate on a direct connection, not through PgBouncer's transaction mode.
import FoundationEssentials

/// How a database stands to the files.
public enum SchemaStatus: Sendable, Equatable {
    case current
    /// Names of files that are not applied yet.
    case behind([String])
    /// Versions applied by a program newer than this one. (Nothing is missing that this one needs.)
    case unknown([Int])
    /// Names of files that were edited after they had been applied.
    case changed([String])
}

public enum MigrationError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The directory can't be read.
    case unreadable(String)
    /// A file is not called NNNN_name.sql.
    case misnamed(String)
    /// Two files have one version.
    case duplicate(String, String)
    /// Files were edited after they had been applied.
    case changed([String])
    /// A file is older than one that is applied already.
    case outOfOrder(String)
    /// A file's SQL was refused; it was rolled back. Files before it stay applied.
    case refused(String, sqlState: String?)

    public var description: String {
        switch self {
        case .unreadable(let path): "no migrations can be read at \(path)"
        case .misnamed(let name): "\(name) is not called NNNN_name.sql"
        case .duplicate(let one, let other): "\(one) and \(other) have the same version"
        case .changed(let names): "changed after they were applied: \(names.joined(separator: ", "))"
        case .outOfOrder(let name): "\(name) is older than a migration that is applied already"
        case .refused(let name, let state): "\(name) was refused and rolled back, SQLSTATE \(state ?? "unknown")"
        }
    }
}

public struct Migrator: Sendable {
    /// Any number; every migrator of every version must use this one.
    private static let lock: Int64 = 0x7269_6e67_7761_7900

    private struct Migration {
        let version: Int32
        let name: String
        let script: String

        /// FNV-1a, 64 bits: it shows a change, it need not withstand an enemy.
        var checksum: String {
            let hash = script.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
            let digits = String(hash, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }
    }

    private struct Applied {
        let version: Int32
        let checksum: String
    }

    private let directory: String

    public init(directory: String) {
        self.directory = directory
    }

    public init(directory: URL) {
        self.init(directory: directory.path)
    }

    /// Applies what is pending; gives back its names, in order.
    ///
    /// - Throws: `MigrationError`, or a `PostgresError` when the server can't be used.
    public func migrate(_ client: PostgresClient) async throws -> [String] {
        let migrations = try load()
        return try await client.withConnection { connection in
            // Whatever happens, the lock goes with the connection.
            connection.spoil()
            try await connection.execute(script: "SELECT pg_advisory_lock(\(Migrator.lock))")
            try await connection.execute(script: Migrator.createTable)
            let applied = try await Migrator.applied(connection)
            let pending = try Migrator.pending(migrations, applied)
            for migration in pending { try await Migrator.apply(migration, on: connection) }
            // Unlocked by hand as well: the next migrator need not wait for the server to see the connection go.
            try await connection.query("SELECT pg_advisory_unlock(\(Migrator.lock))")
            return pending.map(\.name)
        }
    }

    /// Compares, and changes nothing.
    public func status(_ client: PostgresClient) async throws -> SchemaStatus {
        let migrations = try load()
        return try await client.withConnection { connection in
            let exists = try await connection.query("SELECT to_regclass('public.ringway_migrations') IS NOT NULL")
            let isInstalled = try exists[0].decode(Bool.self)
            let applied = isInstalled ? try await Migrator.applied(connection) : []

            let changed = Migrator.changed(migrations, applied)
            if !changed.isEmpty { return .changed(changed) }
            let versions = Set(applied.map(\.version))
            let behind = migrations.filter { !versions.contains($0.version) }
            if !behind.isEmpty { return .behind(behind.map(\.name)) }
            let unknown = versions.subtracting(migrations.map(\.version))
            return unknown.isEmpty ? .current : .unknown(unknown.map { Int($0) }.sorted())
        }
    }

    private static let createTable = """
        CREATE TABLE IF NOT EXISTS public.ringway_migrations (
            version    int PRIMARY KEY,
            name       text NOT NULL,
            checksum   text NOT NULL,
            applied_at timestamptz NOT NULL DEFAULT now()
        )
        """

    private static func applied(_ connection: PostgresConnection) async throws -> [Applied] {
        try await connection.query("SELECT version, checksum FROM public.ringway_migrations ORDER BY version").map {
            let (version, checksum) = try $0.decode(Int32.self, String.self)
            return Applied(version: version, checksum: checksum)
        }
    }

    private static func changed(_ migrations: [Migration], _ applied: [Applied]) -> [String] {
        let checksums = Dictionary(uniqueKeysWithValues: applied.map { ($0.version, $0.checksum) })
        return migrations.filter { checksums[$0.version, default: $0.checksum] != $0.checksum }.map(\.name)
    }

    private static func pending(_ migrations: [Migration], _ applied: [Applied]) throws -> [Migration] {
        let changed = changed(migrations, applied)
        if !changed.isEmpty { throw MigrationError.changed(changed) }
        let versions = Set(applied.map(\.version))
        let pending = migrations.filter { !versions.contains($0.version) }
        if let first = pending.first, let last = applied.last, first.version < last.version {
            throw MigrationError.outOfOrder(first.name)
        }
        return pending
    }

    private static func apply(_ migration: Migration, on connection: PostgresConnection) async throws {
        do {
            try await connection.execute(script: "BEGIN")
            try await connection.execute(script: migration.script)
            try await connection.query(
                """
                INSERT INTO public.ringway_migrations (version, name, checksum)
                VALUES (\(migration.version), \(migration.name), \(migration.checksum))
                """)
            try await connection.execute(script: "COMMIT")
        } catch {
            // The connection is closed behind us, and the transaction with it.
            guard error.code == .server else { throw error }
            throw MigrationError.refused(migration.name, sqlState: error.sqlState)
        }
    }

    private func load() throws -> [Migration] {
        guard let files = try? FileManager.default.contentsOfDirectory(atPath: directory) else {
            throw MigrationError.unreadable(directory)
        }
        let migrations = try files.filter { $0.hasSuffix(".sql") }.sorted().map(load)
        for (one, other) in zip(migrations, migrations.dropFirst()) where one.version == other.version {
            throw MigrationError.duplicate(one.name, other.name)
        }
        return migrations
    }

    private func load(_ file: String) throws -> Migration {
        let digits = file.prefix(4)
        guard digits.count == 4, digits.allSatisfy({ ("0"..."9").contains($0) }), let version = Int32(digits),
            file.dropFirst(4).hasPrefix("_"), file.count > "0000_.sql".count
        else { throw MigrationError.misnamed(file) }
        let path = "\(directory)/\(file)"
        guard let data = FileManager.default.contents(atPath: path),
            let script = String(validating: data, as: UTF8.self)
        else { throw MigrationError.unreadable(path) }
        return Migration(version: version, name: String(file.dropLast(".sql".count)), script: script)
    }
}
