// What a client without .proto files is told, from the description that the server carries.
import Contract
import SwiftProtobuf
import Testing

@testable import GRPCAPI
@testable import ServiceKit

@Suite struct ReflectionTests {
    typealias Question = Grpc_Reflection_V1_ServerReflectionRequest
    typealias Files = [Google_Protobuf_FileDescriptorProto]

    private let description = ContractDescription(fileDescriptorSet: contractDescription)

    private func files(_ question: Question.OneOf_MessageRequest) throws -> Files? {
        let answer = description.answer(to: .with { $0.messageRequest = question }).messageResponse
        guard case .fileDescriptorResponse(let response) = answer else { return nil }
        return try response.fileDescriptorProto.map { try Google_Protobuf_FileDescriptorProto(serializedBytes: $0) }
    }

    private func error(_ question: Question) -> Int32? {
        guard case .errorResponse(let error) = description.answer(to: question).messageResponse else { return nil }
        return error.errorCode
    }

    @Test func services__are_those_that_the_policy_knows() {
        guard case .listServicesResponse(let list) = description.answer(to: .with { $0.listServices = "" }).messageResponse
        else {
            Issue.record("no list")
            return
        }
        let known = Set(AccessPolicy.methods.keys.map { String($0.prefix { $0 != "/" }) })
        #expect(Set(list.service.map(\.name)) == known.subtracting(["grpc.reflection.v1alpha.ServerReflection"]))
    }

    @Test(arguments: [
        "ringway.v1.AuthService", "ringway.v1.AuthService.LogIn", "ringway.v1.LogInRequest", "ringway.v1.LogInRequest.username",
    ])
    func symbol__leads_to_its_file_and_all_that_it_imports(symbol: String) throws {
        let files = try #require(try files(.fileContainingSymbol(symbol)))
        #expect(files.first?.name == "ringway/v1/auth.proto")
        let names = Set(files.map(\.name))
        #expect(names.count == files.count)
        #expect(files.allSatisfy { names.isSuperset(of: $0.dependency) })
    }

    @Test func every_method__is_found_by_its_name() throws {
        for method in MethodTypes.all.keys {
            let symbol = String(method.map { $0 == "/" ? "." : $0 })
            #expect(try files(.fileContainingSymbol(symbol)) != nil, "\(symbol)")
        }
    }

    @Test(arguments: [
        Question.OneOf_MessageRequest.fileByFilename("/etc/passwd"), .fileByFilename("../ringway/v1/auth.proto"),
        .fileByFilename(""), .fileContainingSymbol(""), .fileContainingSymbol(".ringway.v1.AuthService"),
        .fileContainingSymbol("ringway.v1"), .fileContainingSymbol(String(repeating: "a.", count: 10_000)),
        .allExtensionNumbersOfType("ringway.v1.AuthService"), .fileContainingExtension(.init()),
    ])
    func what_is_not_there__is_not_found(question: Question.OneOf_MessageRequest) {
        #expect(error(.with { $0.messageRequest = question }) == 5)
    }

    @Test func nothing_asked__is_no_question() {
        #expect(error(Question()) == 3)
    }

    @Test func answer__is_bounded_whatever_is_asked() throws {
        let all = try Google_Protobuf_FileDescriptorSet(serializedBytes: contractDescription).file
        for file in all {
            let answer = description.answer(to: .with { $0.fileByFilename = file.name })
            #expect(try answer.serializedData().count < 64 * 1024)
        }
    }

    /// JSONNames takes the names in these for data, and those of every other object for fields.
    @Test func maps__of_the_contract_are_known_to_who_reads_json() throws {
        var maps: Set<String> = []
        for file in try Google_Protobuf_FileDescriptorSet(serializedBytes: contractDescription).file
        where file.package == "ringway.v1" {
            for message in file.messageType {
                let entries = Set(message.nestedType.filter(\.options.mapEntry).map { ".ringway.v1.\(message.name).\($0.name)" })
                maps.formUnion(message.field.filter { entries.contains($0.typeName) }.map(\.jsonName))
            }
        }
        #expect(maps == JSONNames.maps)
    }
}
