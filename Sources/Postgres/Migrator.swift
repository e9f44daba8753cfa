// Brings a database to the schema of this program: applies the files `NNNN_name.sql` of a directory once each, in
// order, each in a transaction of its own, and records them. It has no way back: a mistake is mended by the next file.
//
// A file that begins with the line `-- outside of a transaction` holds one statement that Postgres allows nowhere else,
// such as CREATE INDEX CONCURRENTLY, and one that does no harm when it is run again after it was cut short. What such a
// try leaves behind, an index that is not valid, goes before the next one: IF NOT EXISTS would take it for done.
//
// No file waits long for a lock, because whoever comes after it would wait behind it: it is rolled back, to be run again.
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

/// A migration, as a file, as a row of the database, or both.
public struct MigrationRecord: Sendable, Equatable {
    public enum State: String, Sendable {
        case applied
        case pending
        /// The file was edited after it had been applied.
        case changed
        /// Applied by a program newer than this one, which has no such file.
        case unknown
        /// Pending, but older than one that is applied: it will be refused.
        case outOfOrder = "out of order"
    }

    public let version: Int
    public let name: String
    public let state: State
    public let appliedAt: Date?
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
    /// A file's SQL was refused, in the server's own words; it was rolled back. Files before it stay applied.
    case refused(String, sqlState: String?, message: String?)
    /// A file could not have a lock that it needs in time; it was rolled back. Run it again when there is less to do.
    case locked(String)

    public var description: String {
        switch self {
        case .unreadable(let path): "no migrations can be read at \(path)"
        case .misnamed(let name): "\(name) is not called NNNN_name.sql"
        case .duplicate(let one, let other): "\(one) and \(other) have the same version"
        case .changed(let names): "changed after they were applied: \(names.joined(separator: ", "))"
        case .outOfOrder(let name): "\(name) is older than a migration that is applied already"
        case .refused(let name, let state, let message):
            "\(name) was refused and rolled back: \(message ?? "no reason given"), SQLSTATE \(state ?? "unknown")"
        case .locked(let name): "\(name) waited too long for a lock and was rolled back; run it again"
        }
    }
}

public struct Migrator: Sendable {
    /// Any number; every migrator of every version must use this one.
    private static let lock: Int64 = 0x7269_6e67_7761_7900

    /// For a lock on a table, from each statement of a file on.
    private static let lockPatience: Duration = .seconds(5)
    private static let outsideMark = "-- outside of a transaction\n"

    private struct Migration {
        let version: Int32
        let name: String
        let script: String

        var isOutside: Bool { script.hasPrefix(Migrator.outsideMark) }

        /// FNV-1a, 64 bits: it shows a change, it need not withstand an enemy.
        var checksum: String {
            let hash = script.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
            let digits = String(hash, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }
    }

    private struct Applied {
        let version: Int32
        let name: String
        let checksum: String
        let at: Date
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
            try await Migrator.waitForLock(connection)
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
        let records = try await records(client)
        func names(_ state: MigrationRecord.State) -> [String] { records.filter { $0.state == state }.map(\.name) }
        let changed = names(.changed)
        if !changed.isEmpty { return .changed(changed) }
        let behind = records.filter { $0.appliedAt == nil }.map(\.name)
        if !behind.isEmpty { return .behind(behind) }
        let unknown = records.filter { $0.state == .unknown }.map(\.version)
        return unknown.isEmpty ? .current : .unknown(unknown)
    }

    /// Every migration that there is, in order. Changes nothing.
    public func records(_ client: PostgresClient) async throws -> [MigrationRecord] {
        let migrations = try load()
        let applied = try await client.withConnection { connection in
            let exists = try await connection.query("SELECT to_regclass('public.ringway_migrations') IS NOT NULL")
            return try exists[0].decode(Bool.self) ? try await Migrator.applied(connection) : []
        }
        return Migrator.records(migrations, applied)
    }

    private static func records(_ migrations: [Migration], _ applied: [Applied]) -> [MigrationRecord] {
        let rows = Dictionary(uniqueKeysWithValues: applied.map { ($0.version, $0) })
        let newest = applied.last?.version ?? 0
        let ours = migrations.map { migration in
            let row = rows[migration.version]
            let state: MigrationRecord.State =
                if let row {
                    row.checksum == migration.checksum ? .applied : .changed
                } else {
                    migration.version < newest ? .outOfOrder : .pending
                }
            return MigrationRecord(
                version: Int(migration.version), name: migration.name, state: state, appliedAt: row?.at)
        }
        let known = Set(migrations.map(\.version))
        let others = applied.filter { !known.contains($0.version) }.map {
            MigrationRecord(version: Int($0.version), name: $0.name, state: .unknown, appliedAt: $0.at)
        }
        return (ours + others).sorted { $0.version < $1.version }
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
        let rows = try await connection.query(
            "SELECT version, name, checksum, applied_at FROM public.ringway_migrations ORDER BY version")
        return try rows.map {
            let (version, name, checksum, at) = try $0.decode(Int32.self, String.self, String.self, Date.self)
            return Applied(version: version, name: name, checksum: checksum, at: at)
        }
    }

    private static func pending(_ migrations: [Migration], _ applied: [Applied]) throws -> [Migration] {
        let records = records(migrations, applied)
        let changed = records.filter { $0.state == .changed }.map(\.name)
        if !changed.isEmpty { throw MigrationError.changed(changed) }
        if let late = records.first(where: { $0.state == .outOfOrder }) { throw MigrationError.outOfOrder(late.name) }
        let pending = Set(records.filter { $0.state == .pending }.map(\.version))
        return migrations.filter { pending.contains(Int($0.version)) }
    }

    /// Asked for again and again: who waits in one statement has a snapshot, for whose end CREATE INDEX CONCURRENTLY
    /// would wait in turn.
    private static func waitForLock(_ connection: PostgresConnection) async throws {
        while try await !connection.query("SELECT pg_try_advisory_lock(\(lock))")[0].decode(Bool.self) {
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    private static func apply(_ migration: Migration, on connection: PostgresConnection) async throws {
        do {
            if migration.isOutside {
                try await dropUnfinishedIndexes(of: migration, on: connection)
                try await connection.execute(script: migration.script)
            }
            try await connection.execute(script: "BEGIN; SET LOCAL lock_timeout = '\(lockPatience.components.seconds)s'")
            if !migration.isOutside { try await connection.execute(script: migration.script) }
            try await connection.query(
                """
                INSERT INTO public.ringway_migrations (version, name, checksum)
                VALUES (\(migration.version), \(migration.name), \(migration.checksum))
                """)
            try await connection.execute(script: "COMMIT")
        } catch {
            // The connection is closed behind us, and the transaction with it.
            guard error.code == .server else { throw error }
            if error.sqlState == "55P03" { throw MigrationError.locked(migration.name) }
            throw MigrationError.refused(migration.name, sqlState: error.sqlState, message: error.serverMessage)
        }
    }

    /// Under the migrators' lock an index that is not valid, and whose name the file says, is an earlier try's.
    private static func dropUnfinishedIndexes(
        of migration: Migration, on connection: PostgresConnection
    ) async throws(PostgresError) {
        let rows = try await connection.query(
            """
            SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
            WHERE NOT i.indisvalid AND strpos(\(migration.script), c.relname) > 0
            """)
        for row in rows {
            try await connection.execute(script: "DROP INDEX CONCURRENTLY \(row.decode(String.self))")
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
