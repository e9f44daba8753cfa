// `ringway migrate`: brings the database to this program's schema.
import ArgumentParser
import Foundation
import Logging
import Postgres
import ServiceKit

struct Migrate: SettingsCommand {
    static let configuration = CommandConfiguration(
        abstract: "Apply the migrations that the database lacks, once, under a lock.",
        discussion: """
            There is no way back: a mistake is mended by the next migration. A file that can't have a lock within five \
            seconds is rolled back; run the command again.

            --status changes nothing. It prints a line a migration: its name; applied, pending, changed (edited after \
            it was applied), out of order (older than one that is applied) or unknown (of a newer ringway); and when it \
            was applied. Exit code 0: the schema is this program's. 3: something is pending. 4: something is wrong or \
            newer.
            """)

    @Flag(help: "Only say what is applied and what would be.")
    var status = false

    @Argument(parsing: .captureForPassthrough, help: "--postgres-url, --migrations; see ringway serve --help.")
    var arguments: [String] = []

    func run() async throws {
        try await complaining {
            let settings = try settings()
            let database = Database(settings)
            if status {
                let records = try await database.records()
                print(Self.table(records))
                await database.shutdown()
                if let code = Self.exitCode(for: records) { throw code }
                return
            } else {
                let applied = try await database.migrate()
                for name in applied { print("applied \(name)") }
                let status = try await database.status()
                if applied.isEmpty { print("nothing to apply; \(Database.describe(status))") }
            }
            await database.shutdown()
        }
    }

    private static func table(_ records: [MigrationRecord]) -> String {
        let width = records.map(\.name.count).max() ?? 0
        return records.map { record in
            let name = record.name.padding(toLength: width, withPad: " ", startingAt: 0)
            let time = record.appliedAt.map { " " + $0.formatted(.iso8601) } ?? ""
            return "\(name)  \(record.state.rawValue)\(time)"
        }.joined(separator: "\n")
    }

    private static func exitCode(for records: [MigrationRecord]) -> ExitCode? {
        if records.contains(where: { $0.state != .applied && $0.state != .pending }) { return ExitCode(4) }
        return records.contains { $0.state == .pending } ? ExitCode(3) : nil
    }
}

/// The database as commands meet it: reachable or not, of a known schema or not.
struct Database {
    let client: PostgresClient
    /// Says nothing to the log: what fails at the start is told in one line, as a complaint.
    private let quietClient: PostgresClient
    private let migrator: Migrator

    init(_ settings: ServeSettings) {
        var configuration = PostgresConfiguration(url: settings.postgresURL)
        configuration.poolSize = settings.postgresPool
        client = PostgresClient(configuration: configuration, logger: Logger(label: "ringway.postgres"))
        configuration.poolSize = 1
        var quiet = Logger(label: "ringway.postgres")
        quiet.logLevel = .critical
        quietClient = PostgresClient(configuration: configuration, logger: quiet)
        migrator = Migrator(directory: settings.migrations)
    }

    func status() async throws -> SchemaStatus {
        try await translating { try await migrator.status(quietClient) }
    }

    func records() async throws -> [MigrationRecord] {
        try await translating { try await migrator.records(quietClient) }
    }

    func migrate() async throws -> [String] {
        try await translating { try await migrator.migrate(quietClient) }
    }

    /// `serve` runs on exactly the schema it knows.
    func requireCurrent() async throws {
        let status = try await status()
        guard status == .current else { throw Complaint(line: Self.describe(status)) }
    }

    func shutdown() async {
        await quietClient.shutdown()
        await client.shutdown()
    }

    private func translating<Result>(_ body: () async throws -> Result) async throws -> Result {
        do {
            return try await body()
        } catch let error as PostgresError where error.code == .unavailable || error.code == .timeout {
            throw Complaint(
                line: "Postgres can't be used: \(error.reason.isEmpty ? "no answer" : error.reason); mend that, or name "
                    + "another with --postgres-url or RINGWAY_POSTGRES_URL")
        } catch let error as PostgresError {
            throw Complaint(line: "\(error)")
        } catch let error as MigrationError {
            throw Complaint(line: "migrations: \(error)")
        }
    }

    static func describe(_ status: SchemaStatus) -> String {
        switch status {
        case .current:
            "the schema is current"
        case .behind(let names):
            "the database lacks \(names.joined(separator: ", ")); run ringway migrate"
        case .unknown(let versions):
            "the database has migrations of a newer ringway (\(versions.map(String.init).joined(separator: ", "))); "
                + "run that version"
        case .changed(let names):
            "migrations were edited after they had been applied (\(names.joined(separator: ", "))); restore them"
        }
    }
}
