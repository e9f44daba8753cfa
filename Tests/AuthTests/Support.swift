// What the tests of the service share: the service behind the interceptor, verifying its own tokens as production does.
import Contract
import GRPCCore
import GRPCInProcessTransport
import Postgres
import ServiceKit
import TestSupport
import Testing

@testable import Auth

/// Every suite that needs Postgres hangs under this one, so that they take turns.
@Suite(.serialized) enum AuthServiceTests {}

struct World {
    let auth: Ringway_V1_AuthService.Client<InProcessTransport.Client>
    let handler: AuthHandler
    let database: TestDatabase

    func register(
        _ username: String, _ password: String = "correct horse"
    ) async throws -> Ringway_V1_TokenResponse {
        try await auth.register(
            .with {
                ($0.username, $0.password) = (username, password)
                $0.device = .laptop
            })
    }

    func logIn(_ username: String, _ password: String = "correct horse") async throws -> Ringway_V1_TokenResponse {
        try await auth.logIn(
            .with {
                ($0.username, $0.password) = (username, password)
                $0.device = .laptop
            })
    }

    func refresh(_ token: String) async throws -> Ringway_V1_TokenResponse {
        try await auth.refresh(.with { $0.refreshToken = token })
    }

    func logOut(_ accessToken: String) async throws {
        _ = try await auth.logOut(.init(), metadata: .bearer(accessToken))
    }

    func verify(_ accessToken: String) async throws -> Ringway_V1_VerifyTokenResponse {
        try await auth.verifyToken(.with { $0.accessToken = accessToken })
    }

    /// The device events of a user's log; its sequence must have no gaps.
    func changes(of user: Int64) async throws -> [Ringway_V1_DeviceEvent] {
        let events = try await database.events(of: user)
        #expect(events.map(\.seq) == (0..<events.count).map { Int64($0 + 1) })
        return events.map(\.device)
    }

    func count(_ query: PostgresQuery) async throws -> Int {
        try await database.client.query(query)[0].decode(Int.self)
    }
}

extension Ringway_V1_Device {
    static let laptop = with { ($0.name, $0.platform) = ("Ada's laptop", "linux") }
}

func withAuth(
    _ settings: AuthSettings = AuthSettings(), door: AuthenticationInterceptor.Door = .inProcess,
    _ body: (World) async throws -> Void
) async throws {
    try await TestDatabase.with { database in
        let handler = try await AuthHandler.start(postgres: database.client, settings: settings, peers: .none)
        // The interceptor asks the service itself, through a door of its own.
        try await withServer([handler]) { services in
            let verifier = Ringway_V1_AuthService.Client(wrapping: services)
            try await withServer(
                [handler], door: door,
                verify: { token in
                    let answer = try await verifier.verifyToken(.with { $0.accessToken = token })
                    return Caller(userID: answer.userID, deviceID: answer.deviceID)
                }
            ) { client in
                try await body(World(auth: .init(wrapping: client), handler: handler, database: database))
            }
        }
    }
}

/// Runs one call many times at once; the results in no order.
func together<Output: Sendable>(
    _ count: Int, _ call: @escaping @Sendable () async throws -> Output
) async -> [Result<Output, RPCError>] {
    await withTaskGroup(of: Result<Output, RPCError>.self) { group in
        for _ in 0..<count {
            group.addTask {
                do {
                    return .success(try await call())
                } catch {
                    return .failure(error as? RPCError ?? RPCError(code: .unknown, message: "\(error)"))
                }
            }
        }
        return await group.reduce(into: []) { $0.append($1) }
    }
}

extension AuthPeers {
    /// Nothing but the user's own id in each part.
    static let none = AuthPeers(
        profile: { caller in .with { $0.userID = caller.userID } }, friends: { _ in [] }, requests: { _ in [] },
        groups: { _ in [] }, blocks: { _ in [] }, userSettings: { _ in .init() }, cursors: { _ in [] },
        events: { _, _ in ([], 0) })
}
