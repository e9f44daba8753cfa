// The calls of the SDK, over a real HTTP API in front of services that only keep what they are asked: together they reach
// every method of the contract that a user may call.
import Contract
import Foundation
import GRPCCore
import GRPCInProcessTransport
import GRPCProtobuf
import Logging
import ServiceKit
import SwiftProtobuf
import Synchronization
import TestSupport
import Testing

@testable import HTTPAPI
@testable import RingwayClient

/// Answers every method of the contract with an empty message.
private final class Listener: RegistrableRPCService {
    private let asked = Mutex<[String: any Message]>([:])

    var methods: Set<String> { asked.withLock { Set($0.keys) } }

    func request<Request: Message>(of method: String) -> Request? {
        asked.withLock { $0["ringway.v1.\(method)"] as? Request }
    }

    func registerMethods<Transport: ServerTransport>(with router: inout RPCRouter<Transport>) {
        for (name, types) in MethodTypes.all { serve(name, types.request, types.response, &router) }
    }

    private func serve<Request: Message, Answer: Message, Transport>(
        _ name: String, _ request: Request.Type, _ answer: Answer.Type, _ router: inout RPCRouter<Transport>
    ) {
        let parts = name.split(separator: "/").map(String.init)
        router.registerHandler(
            forMethod: MethodDescriptor(fullyQualifiedService: parts[0], method: parts[1]),
            deserializer: ProtobufDeserializer<Request>(), serializer: ProtobufSerializer<Answer>()
        ) { request, _ in
            let message = try await ServerRequest(stream: request).message
            self.asked.withLock { $0[name] = message }
            return StreamingServerResponse(single: ServerResponse(message: Answer()))
        }
    }
}

@Suite struct CallTests {
    /// Verifiers of tokens ask for it, not users.
    private static let notForUsers: Set = ["ringway.v1.AuthService/ListKeys"]

    private func withListener(_ body: @escaping @Sendable (Listener, _ url: String) async throws -> Void) async throws {
        let listener = Listener()
        let transport = InProcessTransport()
        try await withGRPCServer(transport: transport.server, services: [listener]) { _ in
            try await withGRPCClient(transport: transport.client) { services in
                try await withServing { listens in
                    makeHTTPAPI(
                        clients: ServiceClients(services), configuration: HTTPAPIConfiguration(port: 0),
                        logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, onServerRunning: listens)
                } _: { port in
                    try await body(listener, "http://127.0.0.1:\(port)")
                }
            }
        }
    }

    /// Logged in with a token that has expired, so that the first call refreshes it.
    private func client(_ url: String) -> RingwayClient {
        let expired = Credentials(
            userID: 1, deviceID: 2, accessToken: "old", refreshToken: "refresh", expiresAt: .distantPast)
        return RingwayClient(configuration: .init(httpURL: url), credentials: expired)
    }

    @Test func calls__reach_every_method_that_a_user_may_call() async throws {
        try await withListener { listener, url in
            let device = RingwayClient.Device.with { ($0.name, $0.platform) = ("laptop", "linux") }
            _ = try await RingwayClient.register(username: "ada", password: "correct horse", device: device, at: url)
            _ = try await RingwayClient.logIn(username: "ada", password: "correct horse", device: device, at: url)
            let client = client(url)
            try await callAccount(client)
            try await callProfile(client)
            try await callFriends(client)
            _ = try await client.readInbox(since: 0, limit: 1)
            _ = try await client.locateGateway()
            let wanted = AccessPolicy.methods.filter { MethodTypes.all[$0.key] != nil && $0.value != .service }.keys
            #expect(listener.methods == Set(wanted).subtracting(Self.notForUsers))
        }
    }

    private func callAccount(_ client: RingwayClient) async throws {
        try await client.logOut()
        try await client.logOutOthers()
        _ = try await client.devices()
        try await client.renameDevice(3, to: "phone")
        try await client.revokeDevice(3)
        _ = try await client.account()
        try await client.changePassword(from: "correct horse", to: "battery staple")
        try await client.changeEmail(to: "ada@example.org", password: "correct horse")
        try await client.deleteAccount(password: "correct horse")
        _ = try await client.exportData()
    }

    private func callProfile(_ client: RingwayClient) async throws {
        _ = try await client.myProfile()
        _ = try await client.profile(of: 3)
        _ = try await client.profiles(of: [3, 4])
        _ = try await client.searchProfiles("ada")
        try await client.updateProfile(nickname: "Ada")
        try await client.setAvatar(Data([1, 2, 3]), contentType: "image/png")
        try await client.removeAvatar()
        _ = try await client.avatar(String(repeating: "0", count: 64))
        _ = try await client.settings()
        try await client.updateSettings(.with { $0.push.enabled = false })
    }

    private func callFriends(_ client: RingwayClient) async throws {
        try await client.requestFriend(3)
        _ = try await client.friendRequests()
        try await client.acceptFriendRequest(5)
        try await client.rejectFriendRequest(5)
        try await client.withdrawFriendRequest(5)
        _ = try await client.friends()
        try await client.updateFriend(3, groupID: 0)
        try await client.removeFriend(3)
        _ = try await client.relationChanges(since: 0)
        _ = try await client.friendGroups()
        try await client.createFriendGroup("work")
        try await client.renameFriendGroup(6, to: "home")
        try await client.reorderFriendGroups([6])
        try await client.deleteFriendGroup(6)
        try await client.block(3)
        try await client.unblock(3)
        _ = try await client.blocks()
    }

    @Test func calls__carry_what_they_are_given() async throws {
        try await withListener { listener, url in
            let client = client(url)
            _ = try await client.searchProfiles("a&limit=9 %2e/é?", limit: 7, cursor: "u+1")
            let search: Ringway_V1_SearchProfilesRequest? = listener.request(of: "ProfileService/SearchProfiles")
            #expect((search?.query, search?.limit, search?.cursor) == ("a&limit=9 %2e/é?", 7, "u+1"))
            try await client.setAvatar(Data([0, 255, 128]), contentType: "image/webp")
            let avatar: Ringway_V1_SetMyAvatarRequest? = listener.request(of: "ProfileService/SetMyAvatar")
            #expect((avatar?.image, avatar?.contentType) == (Data([0, 255, 128]), "image/webp"))
            try await client.updateFriend(.max, groupID: 4, remark: "boss")
            let friend: Ringway_V1_UpdateFriendRequest? = listener.request(of: "FriendshipService/UpdateFriend")
            #expect((friend?.userID, friend?.groupID, friend?.remark) == (.max, 4, "boss"))
            _ = try await client.profiles(of: [3, .max])
            let many: Ringway_V1_GetProfilesRequest? = listener.request(of: "ProfileService/GetProfiles")
            #expect(many?.userIds == [3, .max])
            try await client.changePassword(from: "correct horse", to: "battery staple")
            let change: Ringway_V1_ChangePasswordRequest? = listener.request(of: "AuthService/ChangePassword")
            #expect((change?.password, change?.newPassword) == ("correct horse", "battery staple"))
            _ = try await client.settings(since: 8)
            let settings: Ringway_V1_GetSettingsRequest? = listener.request(of: "SettingsService/GetSettings")
            #expect(settings?.sinceVersion == 8)
        }
    }
}
