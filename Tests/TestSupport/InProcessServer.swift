// Services behind the interceptor, as production serves them, and a client to call them with.
import Contract
import GRPCCore
import GRPCInProcessTransport
import ServiceKit

public typealias InProcessClient = GRPCClient<InProcessTransport.Client>

/// - Parameter verify: whose an access token is; unless told otherwise, `Metadata.bearer(_:)` names the user.
public func withServer(
    _ services: [any RegistrableRPCService],
    door: AuthenticationInterceptor.Door = .inProcess,
    verify: @escaping @Sendable (String) async throws -> Caller = callerNamed,
    _ body: (InProcessClient) async throws -> Void
) async throws {
    let transport = InProcessTransport()
    try await serving(services, on: transport, behind: AuthenticationInterceptor(door: door, verify: verify)) {
        try await withGRPCClient(transport: transport.client) { client in
            try await body(client)
        }
    }
}

/// The same, for services that call each other through the client.
public func withServer(
    door: AuthenticationInterceptor.Door = .inProcess,
    verify: @escaping @Sendable (String) async throws -> Caller = callerNamed,
    of services: (InProcessClient) -> [any RegistrableRPCService],
    _ body: @Sendable (InProcessClient) async throws -> Void
) async throws {
    let transport = InProcessTransport()
    let client = GRPCClient(transport: transport.client)
    try await serving(services(client), on: transport, behind: AuthenticationInterceptor(door: door, verify: verify)) {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await client.runConnections() }
            defer { client.beginGracefulShutdown() }
            try await body(client)
        }
    }
}

/// A body that calls nothing may be over before the server's task has begun.
private func serving(
    _ services: [any RegistrableRPCService], on transport: InProcessTransport, behind interceptor: AuthenticationInterceptor,
    _ body: () async throws -> Void
) async throws {
    let server = GRPCServer(transport: transport.server, services: services, interceptors: [interceptor])
    try await withThrowingDiscardingTaskGroup { group in
        group.addTask {
            do { try await server.serve() } catch let error as RuntimeError where error.code == .serverIsStopped {}
        }
        try await body()
        server.beginGracefulShutdown()
    }
}

/// The caller whose user id the token is, on device 1.
@Sendable
public func callerNamed(by token: String) async throws -> Caller {
    guard let user = Int64(token) else { throw RPCError(code: .unauthenticated, message: "not a number") }
    return Caller(userID: user, deviceID: 1)
}

extension Metadata {
    public static func bearer(_ token: some CustomStringConvertible) -> Metadata {
        ["authorization": "Bearer \(token)"]
    }
}

/// The status that a call ends with, or nil if it succeeds.
public func status(_ call: () async throws -> Void) async -> RPCError? {
    do {
        try await call()
        return nil
    } catch let error as RPCError {
        return error
    } catch {
        return RPCError(code: .unknown, message: "thrown by the client: \(error)")
    }
}

/// Runs all at the same time; the status of each in their order, nil for success.
public func together(_ calls: [@Sendable () async throws -> Void]) async -> [RPCError.Code?] {
    await withTaskGroup(of: (Int, RPCError.Code?).self) { group in
        for (index, call) in calls.enumerated() {
            group.addTask { (index, await status(call)?.code) }
        }
        return await group.reduce(into: [RPCError.Code?](repeating: nil, count: calls.count)) { $0[$1.0] = $1.1 }
    }
}
