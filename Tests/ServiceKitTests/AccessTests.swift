// Who may call what, at the interceptor that stands before every method.
import Contract
import GRPCCore
import Testing

@testable import ServiceKit

private let contract =
    Ringway_V1_AuthService.Method.descriptors + Ringway_V1_ProfileService.Method.descriptors
    + Ringway_V1_FriendshipService.Method.descriptors + Ringway_V1_InboxService.Method.descriptors
    + Ringway_V1_GatewayService.Method.descriptors + Ringway_V1_SettingsService.Method.descriptors

private let verifyToken = Ringway_V1_AuthService.Method.VerifyToken.descriptor
private let logIn = Ringway_V1_AuthService.Method.LogIn.descriptor
private let readInbox = Ringway_V1_InboxService.Method.ReadInbox.descriptor
private let ada = Caller(userID: 7, deviceID: 70)

@Suite struct AccessPolicyTests {
    @Test func policy__covers_exactly_the_contract() {
        let alpha = MethodDescriptor(
            fullyQualifiedService: "grpc.reflection.v1alpha.ServerReflection", method: "ServerReflectionInfo")
        let grpc = Grpc_Health_V1_Health.Method.descriptors + Grpc_Reflection_V1_ServerReflection.Method.descriptors + [alpha]
        #expect(Set(AccessPolicy.methods.keys) == Set((contract + grpc).map(\.fullyQualifiedMethod)))
        #expect(grpc.allSatisfy { AccessPolicy.access(to: $0) == .anyone })
    }

    @Test func types_of_methods__cover_exactly_the_contract() {
        #expect(Set(MethodTypes.all.keys) == Set(contract.map(\.fullyQualifiedMethod)))
    }

    @Test func methods_that_answer_for_others__are_for_services_only() {
        let open = contract.filter { AccessPolicy.access(to: $0) == .anyone }.map(\.method)
        #expect(Set(open) == ["Register", "LogIn", "Refresh", "GetAvatar", "ListKeys"])
        let internalOnes = contract.filter { AccessPolicy.access(to: $0) == .service }.map(\.method)
        #expect(Set(internalOnes) == [
            "VerifyToken", "ListRevokedKeys", "FindEndedDevices", "GetRelations", "RecordLastSeen", "CheckAudience",
            "ListCursors",
        ])
    }
}

@Suite struct BearerTokenTests {
    @Test(arguments: ["Bearer abc", "bearer abc", "BEARER abc", "Bearer   abc"])
    func scheme__is_read_in_any_case(header: String) {
        #expect(AuthenticationInterceptor.bearerToken(inHeader: header) == "abc")
    }

    @Test(arguments: [
        "", "Bearer", "Bearer ", "Bearer    ", "Bearerabc", "Basic abc", "abc", " Bearer abc", "Bearer\tabc",
    ])
    func anything_else__is_no_token(header: String) {
        #expect(AuthenticationInterceptor.bearerToken(inHeader: header) == nil)
    }
}

@Suite struct AuthenticationInterceptorTests {
    /// Who the method saw, or the status that it was refused with.
    private enum Outcome: Equatable {
        case served(Caller?)
        case refused(RPCError.Code)
    }

    private func call(
        _ method: MethodDescriptor, through door: AuthenticationInterceptor.Door, authorization: [String] = [],
        vouchedFor: [String] = [], secret: ServiceSecret? = nil, serviceTokens: [String] = []
    ) async -> Outcome {
        let interceptor = AuthenticationInterceptor(door: door, serviceSecret: secret) { token in
            guard token == "good" else { throw RPCError(code: .unauthenticated, message: "not valid") }
            return ada
        }
        var metadata = Metadata()
        for value in authorization { metadata.addString(value, forKey: "authorization") }
        for value in serviceTokens { metadata.addString(value, forKey: ServiceCredentialsInterceptor.metadataKey) }
        for value in vouchedFor { metadata.addString(value, forKey: "ringway-caller") }
        let request = StreamingServerRequest<Int>(
            metadata: metadata,
            messages: RPCAsyncSequence(wrapping: AsyncThrowingStream<Int, any Error> { $0.finish() }))
        let context = ServerContext(
            descriptor: method, remotePeer: "test", localPeer: "test", cancellation: .init())
        do {
            let response = try await interceptor.intercept(request: request, context: context) { _, _ in
                let seen = Caller.current
                return StreamingServerResponse<Int>(
                    metadata: ["caller": "\(seen?.userID ?? 0)", "device": "\(seen?.deviceID ?? 0)"]
                ) { _ in [:] }
            }
            let seen = try response.accepted.get().metadata
            guard let user = seen[stringValues: "caller"].first(where: { _ in true }).flatMap(Int64.init),
                let device = seen[stringValues: "device"].first(where: { _ in true }).flatMap(Int64.init)
            else { return .refused(.unknown) }
            return .served(user == 0 ? nil : Caller(userID: user, deviceID: device))
        } catch {
            return .refused((error as? RPCError)?.code ?? .unknown)
        }
    }

    @Test func method_for_anyone__is_served_without_a_caller() async {
        #expect(await call(logIn, through: .network) == .served(nil))
        #expect(await call(logIn, through: .network, authorization: ["Bearer good"]) == .served(nil))
    }

    @Test(arguments: [AuthenticationInterceptor.Door.network, .inProcess])
    func method_for_users__sees_the_caller_of_the_token(door: AuthenticationInterceptor.Door) async {
        #expect(await call(readInbox, through: door, authorization: ["Bearer good"]) == .served(ada))
        #expect(await call(readInbox, through: door, authorization: ["bearer good"]) == .served(ada))
    }

    @Test(arguments: [
        [], [""], ["Bearer"], ["Bearer "], ["Basic good"], ["good"], ["Bearer bad"], ["Bearer good", "Bearer good"],
    ])
    func method_for_users__is_refused_without_one_good_token(authorization: [String]) async {
        for door in [AuthenticationInterceptor.Door.network, .inProcess] {
            #expect(await call(readInbox, through: door, authorization: authorization) == .refused(.unauthenticated))
        }
    }

    @Test func caller_that_the_gateway_vouches_for__is_believed_inside_the_process_only() async {
        #expect(await call(readInbox, through: .inProcess, vouchedFor: ["7.70"]) == .served(ada))
        #expect(await call(readInbox, through: .network, vouchedFor: ["7.70"]) == .refused(.unauthenticated))
    }

    @Test(arguments: [["7"], ["7.70.1"], ["."], ["7.x"], ["7.70", "8.80"]])
    func vouching_that_names_no_single_caller__is_no_vouching(values: [String]) async {
        #expect(await call(readInbox, through: .inProcess, vouchedFor: values) == .refused(.unauthenticated))
    }

    @Test func every_method_for_users__needs_a_token() async {
        for method in contract where AccessPolicy.access(to: method) == .user {
            #expect(await call(method, through: .network) == .refused(.unauthenticated), "\(method.method)")
        }
    }

    @Test func methods_for_services__are_unknown_to_the_network() async {
        for method in contract where AccessPolicy.access(to: method) == .service {
            #expect(await call(method, through: .network) == .refused(.unimplemented))
            #expect(await call(method, through: .network, authorization: ["Bearer good"]) == .refused(.unimplemented))
            #expect(await call(method, through: .inProcess) == .served(nil))
        }
        #expect(await call(verifyToken, through: .network) == .refused(.unimplemented))
    }

    @Test func method_that_is_not_listed__is_served_to_nobody() async {
        let service = ServiceDescriptor(fullyQualifiedService: "ringway.v1.AuthService")
        let method = MethodDescriptor(service: service, method: "Forgotten", type: .unary)
        for door in [AuthenticationInterceptor.Door.network, .inProcess] {
            #expect(await call(method, through: door, authorization: ["Bearer good"]) == .refused(.unimplemented))
        }
    }

    @Test func caller__is_required_of_the_task() async throws {
        #expect(throws: RPCError.self) { try Caller.required() }
        #expect(try Caller.$current.withValue(ada) { try Caller.required() } == ada)
    }

    @Test func service_methods__open_at_the_network_to_the_secrets_holder_alone() async {
        let secret = ServiceSecret(String(repeating: "s", count: 32))
        let token = secret?.token(for: verifyToken.fullyQualifiedMethod) ?? ""
        func call(_ secret: ServiceSecret?, _ tokens: [String]) async -> Outcome {
            await self.call(verifyToken, through: .network, secret: secret, serviceTokens: tokens)
        }
        #expect(await call(secret, [token]) == .served(nil))
        #expect(await call(secret, []) == .refused(.unimplemented))
        #expect(await call(secret, [token, token]) == .refused(.unimplemented))
        #expect(await call(secret, [token + "A"]) == .refused(.unimplemented))
        #expect(await call(nil, [token]) == .refused(.unimplemented))
        // It stands for no user.
        let user = await self.call(readInbox, through: .network, secret: secret, serviceTokens: [token])
        #expect(user == .refused(.unauthenticated))
    }
}
