// Real gRPC handlers behind a real HTTP server: they keep what they are asked and answer as they are told, so that
// what is shown here is the way from HTTP to a handler and back.
import Contract
import GRPCCore
import GRPCInProcessTransport
import GRPCProtobuf
import HTTPTypes
import HummingbirdTesting
import Logging
import NIOCore
import NIOPosix
import SwiftProtobuf
import Synchronization
import TestSupport

@testable import HTTPAPI

/// A service of every method that the HTTP API calls.
final class Recorder: RegistrableRPCService {
    struct Call: Sendable {
        let method: String
        let request: any SwiftProtobuf.Message
        let metadata: Metadata
    }

    private let state = Mutex<[Call]>([])
    private let failure: @Sendable () async throws -> Void

    /// failure is awaited before each answer.
    init(failure: @escaping @Sendable () async throws -> Void = {}) {
        self.failure = failure
    }

    var calls: [Call] { state.withLock { $0 } }

    func last<Request>(as type: Request.Type = Request.self) -> Request? {
        calls.last?.request as? Request
    }

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        typealias Auth = Ringway_V1_AuthService.Method
        let tokens = Ringway_V1_TokenResponse.with {
            $0.userID = 9_007_199_254_740_993
            $0.deviceID = 2
            $0.accessToken = "access"
            $0.refreshToken = "refresh"
            $0.expiresIn = 600
        }
        serve(Ringway_V1_RegisterRequest.self, tokens, Auth.Register.descriptor, &router)
        serve(Ringway_V1_LogInRequest.self, tokens, Auth.LogIn.descriptor, &router)
        serve(Ringway_V1_RefreshRequest.self, tokens, Auth.Refresh.descriptor, &router)
        serve(Ringway_V1_LogOutRequest.self, Ringway_V1_LogOutResponse(), Auth.LogOut.descriptor, &router)
        serve(Ringway_V1_ListKeysRequest.self, Ringway_V1_ListKeysResponse(), Auth.ListKeys.descriptor, &router)

        typealias Profiles = Ringway_V1_ProfileService.Method
        let profile = Ringway_V1_Profile.with { $0.userID = 1 }
        serve(Ringway_V1_GetProfileRequest.self, profile, Profiles.GetProfile.descriptor, &router)
        serve(Ringway_V1_GetMyProfileRequest.self, profile, Profiles.GetMyProfile.descriptor, &router)
        serve(Ringway_V1_UpdateMyProfileRequest.self, profile, Profiles.UpdateMyProfile.descriptor, &router)

        typealias Friends = Ringway_V1_FriendshipService.Method
        let request = Ringway_V1_FriendRequest.with {
            $0.id = 5
            $0.state = .pending
        }
        serve(Ringway_V1_RequestFriendRequest.self, request, Friends.RequestFriend.descriptor, &router)
        serve(
            Ringway_V1_ListFriendRequestsRequest.self, Ringway_V1_ListFriendRequestsResponse(),
            Friends.ListFriendRequests.descriptor, &router)
        serve(Ringway_V1_AcceptFriendRequestRequest.self, request, Friends.AcceptFriendRequest.descriptor, &router)
        serve(Ringway_V1_RejectFriendRequestRequest.self, request, Friends.RejectFriendRequest.descriptor, &router)
        serve(
            Ringway_V1_ListFriendsRequest.self, Ringway_V1_ListFriendsResponse(), Friends.ListFriends.descriptor,
            &router)
        serve(
            Ringway_V1_RemoveFriendRequest.self, Ringway_V1_RemoveFriendResponse(), Friends.RemoveFriend.descriptor,
            &router)

        serve(
            Ringway_V1_ReadInboxRequest.self, Ringway_V1_ReadInboxResponse(),
            Ringway_V1_InboxService.Method.ReadInbox.descriptor, &router)
        serve(
            Ringway_V1_LocateGatewayRequest.self,
            Ringway_V1_LocateGatewayResponse.with { $0.url = "ws://127.0.0.1:7400/ws" },
            Ringway_V1_GatewayService.Method.LocateGateway.descriptor, &router)
    }

    private func serve<Request: SwiftProtobuf.Message, Answer: SwiftProtobuf.Message, Transport>(
        _ request: Request.Type, _ answer: Answer, _ method: MethodDescriptor, _ router: inout RPCRouter<Transport>
    ) {
        router.registerHandler(
            forMethod: method, deserializer: ProtobufDeserializer<Request>(), serializer: ProtobufSerializer<Answer>()
        ) { request, _ in
            let single = try await ServerRequest(stream: request)
            self.state.withLock {
                $0.append(Call(method: method.method, request: single.message, metadata: single.metadata))
            }
            try await self.failure()
            return StreamingServerResponse(single: ServerResponse(message: answer))
        }
    }
}

/// Runs the API on a free port, over one's recorder.
func withAPI(
    _ recorder: Recorder,
    requestTimeout: Duration = .seconds(10),
    idleTimeout: Duration = .seconds(60),
    _ body: @escaping @Sendable (HTTPClient) async throws -> Void
) async throws {
    let transport = InProcessTransport()
    try await withGRPCServer(transport: transport.server, services: [recorder]) { _ in
        try await withGRPCClient(transport: transport.client) { services in
            try await withServing { listens in
                makeHTTPAPI(
                    clients: ServiceClients(services),
                    configuration: HTTPAPIConfiguration(port: 0, requestTimeout: requestTimeout, idleTimeout: idleTimeout),
                    logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, onServerRunning: listens)
            } _: { port in
                try await TestClient.withClient(host: "localhost", port: port) {
                    try await body(HTTPClient(port: port, client: $0))
                }
            }
        }
    }
}

/// Asks on one connection that stays open.
struct HTTPClient {
    let port: Int
    fileprivate let client: TestClient

    struct Answer {
        let status: HTTPResponse.Status
        let headers: HTTPFields
        let text: String
    }

    func execute(
        uri: String, method: HTTPRequest.Method, headers: HTTPFields = [:], body: ByteBuffer? = nil
    ) async throws -> Answer {
        var headers = headers
        headers[.connection] = "keep-alive"
        let answer = try await client.execute(
            .init(uri, method: method, authority: "localhost", headers: headers, body: body))
        return Answer(status: answer.status, headers: answer.head.headerFields, text: String(buffer: answer.body ?? ByteBuffer()))
    }

    func post(
        _ uri: String, _ json: String, headers: HTTPFields = [.contentType: "application/json"]
    ) async throws -> Answer {
        try await execute(uri: uri, method: .post, headers: headers, body: ByteBuffer(string: json))
    }
}

/// What a server answers to bytes of our own until it ends the connection or the time is over.
func exchange(port: Int, send parts: [String], pause: Duration = .zero, within time: Duration) async throws -> String {
    let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
        .connect(host: "localhost", port: port) { channel in
            channel.eventLoop.makeCompletedFuture {
                try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
            }
        }
    let limit = Task {
        try await Task.sleep(for: time)
        try await channel.channel.close()
    }
    defer { limit.cancel() }
    return try await channel.executeThenClose { inbound, outbound in
        for part in parts {
            guard (try? await outbound.write(ByteBuffer(string: part))) != nil else { break }
            try await Task.sleep(for: pause)
        }
        var answer = ""
        do {
            for try await bytes in inbound { answer += String(buffer: bytes) }
        } catch {
            // A reset is an end as well.
        }
        return answer
    }
}
